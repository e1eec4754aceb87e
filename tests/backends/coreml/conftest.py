"""Captured models, made once a session in the toolchain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import models
from tests.support.scripts import script

MAKER = models.FOLDER / "converter_zoo.py"


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with each model's `.pt`, `.pt2`, `.npz`, `.io.json` and `.options.json`."""
    folder = tmp_path_factory.mktemp("zoo")
    script("coreml", MAKER, "torch", str(folder))
    return folder


@pytest.fixture(scope="session")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of `masked` and `mended`, which the others do without."""
    folder = tmp_path_factory.mktemp("masked")
    script("coreml", MAKER, "torch", str(folder), "masked", "mended")
    return folder
