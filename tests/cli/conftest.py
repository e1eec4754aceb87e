"""Fixtures of the command line's tests."""

from __future__ import annotations

import pytest

from tests.cli.inside import Inside
from tests.space import Space


@pytest.fixture
def modelbuild(
    space: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Inside:
    """`modelbuild`, in a project of the fake backend."""
    return Inside(space, monkeypatch, capsys)
