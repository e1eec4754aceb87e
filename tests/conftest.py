"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import toolchain
from tests.space import Space

REPOSITORY = Path(__file__).parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """No test uses the user's own store; toolchains are shared with `make demo`: they are costly."""
    cache = Path(os.environ.get("MODELBUILD_CACHE", REPOSITORY / ".cache" / "modelbuild"))
    os.environ.setdefault("MODELBUILD_TOOLCHAINS", str(cache / "toolchains"))
    os.environ["MODELBUILD_CONFIG"] = os.devnull  # Nor the user's own settings.
    os.environ["MODELBUILD_CACHE"] = tempfile.mkdtemp(prefix="modelbuild-tests-")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes, the tests of a folder share one: so they share its fixtures."""
    for item in items:
        folder = item.path.parent
        # These share nothing that is costly.
        alone = folder.name in ("properties", "faults", "engine", "cli")
        group = item.nodeid if alone else str(folder)
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the store that `pytest_configure` made."""
    shutil.rmtree(os.environ["MODELBUILD_CACHE"], ignore_errors=True)


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    """A project of the fake backend, with a store of its own."""
    made = Space(tmp_path / "project", tmp_path / "store")
    made.create()
    yield made
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session")
def toolchain_python() -> Callable[[str], Path]:
    """Gives the interpreter of a toolchain, which is made where it is missing."""
    return toolchain.python
