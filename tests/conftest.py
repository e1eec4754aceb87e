"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.space import Space

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _no_user_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test reads or writes the user's own store; toolchains are shared, since they are costly."""
    cache = os.environ.get("MODELBUILD_CACHE")
    shared = Path(cache) if cache else REPOSITORY / ".cache" / "modelbuild"
    monkeypatch.setenv(
        "MODELBUILD_TOOLCHAINS", os.environ.get("MODELBUILD_TOOLCHAINS", str(shared / "toolchains"))
    )
    monkeypatch.setenv("MODELBUILD_CACHE", str(tmp_path_factory.mktemp("store")))


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    """A project of the fake backend, with a store of its own."""
    with_space = Space(tmp_path / "project", tmp_path / "store")
    with_space.create()
    yield with_space
    if sys.exc_info() == (None, None, None):
        shutil.rmtree(tmp_path, ignore_errors=True)
