"""ONNX's own backend models as torch modules; run in the toolchain `onnx-export`.

Arguments: the folder of the backends, and that of the models. Prints one JSON object: the models that
give what ONNX says (`same`), of those that do not (`other`), and of those that are refused, by the reason.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

BACKENDS, DATA = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(Path(__file__).parents[2] / "onnx" / "corpus"))
models: Any = importlib.import_module("backend_models")
TOLERANCE = 1e-3
"""As ONNX's own tests of backends have it."""


def network(name: str) -> Any:
    """A module of the backend, as workers load it: below a package of its own."""
    for package, folder in (("b", BACKENDS), ("b.torch", BACKENDS / "torch")):
        made = types.ModuleType(package)
        made.__path__ = [str(folder)]
        sys.modules[package] = made
    return importlib.import_module(f"b.torch.from_onnx.{name}")


def judged(folder: Path, model: Any) -> str:
    """`same` or `other`.

    Raises:
        Unsupported: It has no counterpart in torch.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    names = [value.name for value in model.graph.input if value.name not in weights]
    data = folder / "test_data_set_0"
    given = [models._read(data, "input", index) for index in range(len(names))]
    expected = [models._read(data, "output", index) for index in range(len(model.graph.output))]
    # All that is no float, and all short ones: sizes, axes, places. They are constants in models.
    for index, (name, array) in enumerate(zip(names, given, strict=True)):
        if index in models.parameters(given) or (index and array.dtype.kind not in "f"):
            model.graph.initializer.append(numpy_helper.from_array(array, name))
    feed = dict(zip(names, given, strict=True))
    module = NETWORK.Network(model, feed)
    with torch.no_grad():
        found = module(*(torch.from_numpy(np.array(feed[name])) for name in module.inputs))
    for got, want in zip(found, expected, strict=True):
        array = got.numpy()
        if array.shape != want.shape or array.dtype != want.dtype:
            return "other"
        if not np.allclose(array, want, TOLERANCE, 1e-5, equal_nan=True):
            return "other"
    return "same"


def main() -> None:
    found: dict[str, Any] = {"same": [], "other": [], "refused": {}}
    for group in models.GROUPS:
        for folder in sorted((DATA / group).iterdir()):
            model = onnx.load(folder / "model.onnx")
            if models.left_out(model) is not None:
                continue
            name = models.label(group, folder.name)
            try:
                found[judged(folder, model)].append(name)
            except NETWORK.table_error as error:
                found["refused"].setdefault(str(error), []).append(name)
    print(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    NETWORK = network("network")
    NETWORK.table_error = network("table").Unsupported
    main()
