"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from buildsys.engine import building
from tests.shared_hosts import POOL, SharingExecutor
from tests.space import Space
from tests.support import toolchain

REPOSITORY = Path(__file__).parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """No test uses the user's own store; toolchains are shared with `make demo`: they are costly."""
    cache = Path(os.environ.get("MODELBUILD_CACHE", REPOSITORY / ".cache" / "modelbuild"))
    os.environ.setdefault("MODELBUILD_TOOLCHAINS", str(cache / "toolchains"))
    os.environ["MODELBUILD_CONFIG"] = os.devnull  # Nor the user's own settings.
    os.environ["MODELBUILD_CACHE"] = tempfile.mkdtemp(prefix="modelbuild-tests-")
    POOL.folder = Path(os.environ["MODELBUILD_CACHE"]) / "hosts"
    setattr(building, "LocalExecutor", SharingExecutor)  # noqa: B010  # A name that it imports.
    # A shell's background jobs ignore Ctrl-C, and so would all builds that the tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest folders come first, lest one process is busy with them when all else is done."""
    items.sort(key=_rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Folders:
    """With several processes, the tests of a folder share one: so they share its fixtures."""
    return Folders(config, log)


class Folders(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out folders of tests as a whole.

    Marks of xdist's own (`xdist_group`) do nothing under pytest 9, which keeps a test's identifier.
    """

    def _split_scope(self, nodeid: str) -> str:
        folder = Path(nodeid.partition("::")[0]).parent
        if folder.name in ("properties", "faults", "engine", "cli"):
            return nodeid  # These share nothing that is costly.
        # A backend's folders share what its own conftest makes.
        backend = Path(*folder.parts[:3])
        return str(backend if (REPOSITORY / backend / "conftest.py").exists() else folder)


def _rank(item: pytest.Item) -> tuple[bool, bool]:
    """Real converters before anything else, and whole builds before single steps."""
    return item.get_closest_marker("toolchain") is None, "e2e" not in item.path.parts


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends shared hosts, and removes the store that `pytest_configure` made."""
    POOL.close()
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
