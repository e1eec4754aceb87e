"""A store of each test's own, and what runs steps into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildsys.engine.executors import LocalExecutor
from buildsys.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def executor(store: Store) -> Iterator[LocalExecutor]:
    made = LocalExecutor(store)
    yield made
    made.close()
