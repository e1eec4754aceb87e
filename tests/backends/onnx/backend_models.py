"""ONNX's own backend models as sources of a recipe; run in a toolchain that has them.

Arguments: the folder of the models, the folder of the project to write, the formats, and globs over
names of models.
Prints one JSON object: each model that is left out, and why.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.helper import tensor_dtype_to_np_dtype

GROUPS = ("node", "simple", "pytorch-converted", "pytorch-operator")
COUNT = 4
"""Samples a model: what it comes with, and variations of it."""
KNOWN = ("float16", "float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
FLOATS = ("float16", "float32", "float64")
RANDOM = ("Bernoulli", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
Array = np.ndarray[Any, Any]


def label(group: str, name: str) -> str:
    """A model's name in the recipe."""
    return re.sub(r"[^a-z0-9]+", "_", f"{group}_{name.removeprefix('test_')}".lower())


def _dtype(value: Any) -> np.dtype[Any]:
    found: np.dtype[Any] = tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return found


def left_out(model: Any) -> str | None:
    """Why a model is no source of a recipe."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    for value in (*inputs, *model.graph.output):
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            return f"`{value.name}` is a {kind.removesuffix('_type')}"
    if not inputs or any(_dtype(each).name not in FLOATS for each in inputs):
        return "its inputs are not all floats"
    for value in model.graph.output:
        if _dtype(value).name not in KNOWN:
            name = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
            return f"its output is of {name}, and numpy has no such type"
    for node in model.graph.node:
        if node.op_type in RANDOM:
            return f"`{node.op_type}` is random"
        if node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            return f"`{node.op_type}` is of the domain {node.domain}"
    return None


def _read(folder: Path, what: str, index: int) -> Array:
    tensor = onnx.TensorProto.FromString((folder / f"{what}_{index}.pb").read_bytes())
    return np.asarray(numpy_helper.to_array(tensor))


def parameters(given: list[Array]) -> set[int]:
    """Which inputs are sizes, scales or limits: short ones of one axis or none, but for the first.

    A recipe's inputs may be anything in their range. These become weights of the file.
    """
    return {i for i, each in enumerate(given) if i and each.ndim < 2 and each.size <= 16}


def samples(given: list[Array], seed: int, positive: bool) -> list[Array]:
    """What a model comes with, and as many arrays between two orders of the same numbers.

    They stay between the least and the largest of them, where a logarithm or an arc has a value. Where all
    numbers are the same, others take their place.

    Args:
        given: An array an input.
        seed: Of the model: other models get other orders.
        positive: Whether the model gives NaN for what it comes with, as a root does below zero.
    """
    generator = np.random.default_rng(seed)
    found = []
    for array in given:
        rows = [array]
        for _ in range(COUNT - 1):
            flat = array.reshape(-1)
            if array.size and (flat == flat[0]).all():
                flat = generator.uniform(0.1, 1, flat.shape)
            one, other = generator.permutation(flat), generator.permutation(flat)
            mixed = np.asarray(one + generator.uniform(0, 0.2, flat.shape) * (other - one))
            rows.append(mixed.reshape(array.shape).astype(array.dtype))
        stacked = np.stack(rows)
        found.append(np.abs(stacked) if positive else stacked)
    return found


def write(
    data: Path, project: Path, wanted: Iterable[str], formats: Iterable[str]
) -> dict[str, str]:
    """Writes the recipe and its files; gives the models that are left out."""
    (project / "models").mkdir(parents=True)
    omitted: dict[str, str] = {}
    recipe: dict[str, Any] = {
        "version": 1,
        "project": "backend-models",
        "datasets": {},
        "models": {},
        "targets": {"server": [{"format": name} for name in formats]},
    }
    patterns = list(wanted) or ["*"]
    for group in GROUPS:
        for folder in sorted((data / group).iterdir()):
            name = label(group, folder.name)
            if not any(fnmatch(name, pattern) for pattern in patterns):
                continue
            model = onnx.load(folder / "model.onnx")
            why = left_out(model)
            if why is not None:
                omitted[name] = why
                continue
            _add(recipe, name, model, folder, project)
    (project / "deploy.yaml").write_text(json.dumps(recipe, indent=1))
    return omitted


def _add(recipe: dict[str, Any], name: str, model: Any, folder: Path, project: Path) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in weights]
    data = folder / "test_data_set_0"
    given = [_read(data, "input", index) for index in range(len(inputs))]
    expected = [_read(data, "output", index) for index in range(len(model.graph.output))]
    positive = any(each.dtype.kind == "f" and bool(np.isnan(each).any()) for each in expected)
    fixed = parameters(given)
    for index in fixed:
        model.graph.initializer.append(numpy_helper.from_array(given[index], inputs[index]))
    if fixed and model.ir_version >= 4:
        kept = [each for each in model.graph.input if each.name not in {inputs[i] for i in fixed}]
        del model.graph.input[:]
        model.graph.input.extend(kept)
    free = [index for index in range(len(inputs)) if index not in fixed]
    inputs, given = [inputs[index] for index in free], [given[index] for index in free]
    rows = samples(given, zlib.crc32(name.encode()), positive)
    onnx.save(model, project / "models" / f"{name}.onnx")
    np.savez(project / "models" / f"{name}.npz", **dict(zip(inputs, rows, strict=True)))
    ports = {
        port: {"shape": list(array.shape[1:]), "dtype": array.dtype.name}
        for port, array in zip(inputs, rows, strict=True)
    }
    recipe["datasets"][name] = {
        "source": f"models/{name}.npz",
        "inputs": {port: port for port in inputs},
    }
    recipe["models"][name] = {
        "source": {"onnx": f"models/{name}.onnx"},
        "inputs": ports,
        "outputs": {value.name: {} for value in model.graph.output},
        "samples": {"dataset": name, "count": COUNT},
    }


if __name__ == "__main__":
    data, project, formats, *names = sys.argv[1:]
    print(json.dumps(write(Path(data), Path(project), names, formats.split(","))))
