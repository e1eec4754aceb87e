"""Loads modules of backends by the names that steps receive: `tflite.runtime`."""

from __future__ import annotations

import importlib
from types import ModuleType


def module(name: str) -> ModuleType:
    """Imports a module of a backend, below whatever package the backends are in here.

    Args:
        name: The backend and the module in its folder: `onnx.runtime`, `openvino.quantize.single_layers`.

    Raises:
        ModuleNotFoundError: There is no such module, or the environment lacks what it imports.
    """
    return importlib.import_module(f"...{name}", __package__)
