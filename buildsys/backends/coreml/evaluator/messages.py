"""The messages of Core ML's files, as coremltools ships them, without importing coremltools itself.

An import of coremltools takes seconds and prints warnings; its generated protobuf modules take neither.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

_PACKAGE = "coremltools"


def _modules(*names: str) -> list[Any]:
    if _PACKAGE in sys.modules:
        return [importlib.import_module(f"{_PACKAGE}.proto.{name}") for name in names]
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    standing_in = types.ModuleType(_PACKAGE)
    standing_in.__path__ = [str(Path(found.submodule_search_locations[0]))]
    sys.modules[_PACKAGE] = standing_in
    try:
        return [importlib.import_module(f"{_PACKAGE}.proto.{name}") for name in names]
    finally:
        # Whoever imports coremltools after this gets the real one.
        del sys.modules[_PACKAGE]


Model_pb2, MIL_pb2, FeatureTypes_pb2 = _modules("Model_pb2", "MIL_pb2", "FeatureTypes_pb2")

dtype_name = MIL_pb2.DataType.Name
"""The specification's word for a number of `DataType`, for example `FLOAT16`."""
array_dtype_name = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Name
color_name = FeatureTypes_pb2.ImageFeatureType.ColorSpace.Name
