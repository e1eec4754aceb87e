"""Small ONNX models, made once a session in the toolchain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.scripts import script

MAKER = Path(__file__).with_name("models.py")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each model's `.onnx`, `.io.json`, `.options.json`, samples and outputs."""
    folder = tmp_path_factory.mktemp("openvino")
    script("openvino", MAKER, str(folder))
    return folder
