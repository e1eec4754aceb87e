"""The properties find what is wrong with engines that are known to be wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.profile import NIGHTLY, QUICK
from tests.properties.machine import Machine
from tests.properties.test_properties import profile
from tests.properties.wrong import WRONG

SOON = ("ignores_", "leaves_", "runs_", "trusts_what_", "promises_")
"""Begin the names of engines that are caught within a second or two, whatever examples are drawn."""
LATE = ("mixes_versions",)
"""Hides so well that it takes minutes to catch it, as chance will have it: for the night."""
ENOUGH = 6000
"""Examples, unless the engine is caught before. The one that hides best takes some 200, or 600."""


def chosen() -> list[Callable[[pytest.MonkeyPatch], None]]:
    """All of them at night, most by day, and while one writes those that are caught at once."""
    if NIGHTLY:
        return list(WRONG)
    day = [wrong for wrong in WRONG if wrong.__name__ not in LATE]
    return [wrong for wrong in day if not QUICK or wrong.__name__.startswith(SOON)]


@pytest.mark.parametrize("wrong", chosen(), ids=lambda wrong: wrong.__name__)
def test_a_wrong_engine_is_caught(
    wrong: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(Machine):
        found = []  # noqa: RUF012

    wrong(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017
        run_state_machine_as_test(Wrong, settings=profile(ENOUGH, 25, shrink=False))
    assert any(
        name in WRONG[wrong] for name in (found.partition(":")[0] for found in Wrong.found)
    ), Wrong.found
