"""The project that was built once, as it was then for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutation.bench import Bench, tidy


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The bench, for `bench` to lend."""
    return Bench(tmp_path_factory.mktemp("mutation"))


@pytest.fixture
def bench(built: Bench) -> Iterator[Bench]:
    """A project and a store that has all of it; what a test changes is taken back."""
    yield built
    tidy(built)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of the test's own, beside no project."""
    return tmp_path
