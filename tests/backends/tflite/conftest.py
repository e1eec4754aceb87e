"""Captured models and their ONNX forms, and float files of them, made once a session in the toolchain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.tflite.steps import convert
from tests.support import models
from tests.support.harness import Result
from tests.support.scripts import script

MAKER = models.FOLDER / "converter_zoo.py"
CAPTURED = ("cnn", "heavy", "lstm", "segment", "text", "uneven", "unsupported", "masked")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each model's `.pt2`, `.onnx`, `.npz`, `.io.json` and `.options.json`."""
    folder = tmp_path_factory.mktemp("zoo")
    script("onnx-export", MAKER, "torch", str(folder), *CAPTURED)
    script("onnx-export", MAKER, "onnx", str(folder))
    return folder


@pytest.fixture(scope="session")
def floats(zoo: Path) -> dict[str, Result]:
    """Float files: of each route and of several kinds of models."""
    wanted = [("cnn", "direct"), ("cnn", "onnx"), ("lstm", "direct"), ("lstm", "onnx")]
    wanted += [("heavy", "direct"), ("text", "direct"), ("segment", "onnx"), ("masked", "direct")]
    return {f"{m}-{r}": convert(zoo, m, r) for m, r in wanted}
