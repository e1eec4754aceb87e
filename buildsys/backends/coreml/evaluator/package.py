"""Reads a saved package: manifest, model and weight files, as they are on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ...kit.protocol.request import StepError
from .blobs import Blobs
from .messages import Model_pb2

_ITEMS = "Data"
"""The folder that a manifest's paths are relative to."""
_HERE = "@model_path"
"""What a program calls the folder of its model file."""


class Package:
    """A `.mlpackage` that holds an ML program.

    Attributes:
        path: The package.
        description: What the model declares of inputs, outputs and functions (`ModelDescription`).
        functions: The program's functions (`MIL.Function`), by name.
    """

    def __init__(self, path: Path) -> None:
        """Reads everything but the weights.

        Raises:
            StepError: It is no package, is damaged, or holds no ML program.
        """
        self.path = path
        self._model = _root(path)
        spec = Model_pb2.Model()
        try:
            spec.ParseFromString(self._model.read_bytes())
        except Exception as error:  # protobuf's error is of another class in each implementation.
            raise StepError(f"`{self._model.name}` is not a Core ML model: {error}") from error
        kind = spec.WhichOneof("Type")
        if kind != "mlProgram":
            raise StepError(
                f"the package holds a `{kind}`, and only ML programs are evaluated",
                "take the format `coreml`",
            )
        self.description: Any = spec.description
        self.functions: dict[str, Any] = dict(spec.mlProgram.functions)
        self._blobs: dict[str, Blobs] = {}

    @property
    def default(self) -> str:
        """The function that runs where none is named."""
        return str(self.description.defaultFunctionName) or "main"

    def interface(self, function: str) -> Any:
        """What is declared of a function's inputs, outputs and states.

        Raises:
            StepError: There is no such function.
        """
        if function not in self.functions:
            known = ", ".join(f"`{name}`" for name in sorted(self.functions))
            raise StepError(f"the package has no function `{function}`", f"it has {known}")
        if not self.description.functions:
            return self.description
        found = [each for each in self.description.functions if each.name == function]
        if len(found) != 1:
            raise StepError(f"the package does not describe its function `{function}`")
        return found[0]

    def blob(self, file: str, offset: int, dtype: str, shape: Sequence[int]) -> np.ndarray:
        """An array out of a weight file, by the name that the program has for the file."""
        if file not in self._blobs:
            parts = PurePosixPath(file).parts
            if not parts or parts[0] != _HERE:
                raise StepError(f"the program keeps weights in `{file}`, outside of its package")
            root = self._model.parent
            self._blobs[file] = Blobs(_inside(root, PurePosixPath(*parts[1:]), self.path))
        return self._blobs[file].read(offset, dtype, shape)


def _root(package: Path) -> Path:
    """The model file that the manifest names."""
    manifest = package / "Manifest.json"
    if not manifest.is_file():
        raise StepError(f"`{package.name}` has no Manifest.json: it is not a Core ML package")
    try:
        said = json.loads(manifest.read_text(encoding="utf-8"))
        path = said["itemInfoEntries"][said["rootModelIdentifier"]]["path"]
    except (ValueError, KeyError, TypeError) as error:
        raise StepError(f"Manifest.json does not name the model: {error!r}") from error
    found = _inside(package / _ITEMS, PurePosixPath(path), package)
    if not found.is_file():
        raise StepError(f"the package lacks `{path}`, which its manifest names")
    return found


def _inside(folder: Path, path: PurePosixPath, package: Path) -> Path:
    """A path within the package.

    Raises:
        StepError: It leads out of it, by itself or through a link.
    """
    found = (folder / path).resolve()
    if path.is_absolute() or not found.is_relative_to(package.resolve()):
        raise StepError(f"`{path}` leads out of the package")
    return found
