"""A store, or a folder of artifacts, that cannot be written: status 5, the reason, and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import modelbuild as modelbuild
from tests.cli.inside import Inside


def test_a_store_that_cannot_be_written(
    modelbuild: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELBUILD_CACHE", "/dev/null/store")
    said = modelbuild("build")
    assert said.code == 5
    assert "cannot open /dev/null/store/index.sqlite" in said.err
    assert "MODELBUILD_CACHE" in said.err
    assert "Traceback" not in said.err


def test_a_folder_of_artifacts_that_cannot_be_written(modelbuild: Inside, tmp_path: Path) -> None:
    blocking = tmp_path / "blocking"
    blocking.write_text("a file")
    said = modelbuild("build", "--out", str(blocking / "below"))
    assert said.code == 5
    assert "cannot write" in said.err
    assert "--out" in said.err
    assert "Traceback" not in said.err
    assert blocking.read_text() == "a file"
    assert modelbuild("build").code == 0  # What was made meanwhile is in the store.
