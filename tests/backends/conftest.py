"""What several backends' tests have in common is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import models
from tests.support.models.onnx_models import Made, make
from tests.support.scripts import script

MODELS = ("lstm", "text", "mixed")


@pytest.fixture(scope="session")
def onnx_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with some models' `.onnx`, `.npz` (samples, torch's outputs), `.io.json`, `.options.json`."""
    folder = tmp_path_factory.mktemp("onnx-zoo")
    script("onnx-export", models.FOLDER / "converter_zoo.py", "samples", str(folder), *MODELS)
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A BERT of one layer, with a mask, as ONNX."""
    return make(tmp_path_factory.mktemp("bert"))
