"""How thorough a run is: `MODELBUILD_PROPERTIES=quick|ci|nightly`, `quick` for use while one writes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

PROFILE = os.environ.get("MODELBUILD_PROPERTIES", "quick")
QUICK = PROFILE == "quick"
NIGHTLY = PROFILE == "nightly"
KILLS = int(os.environ.get("MODELBUILD_KILLS", "2" if QUICK else "5"))
"""Builds that are killed at random times."""

Case = TypeVar("Case")


def by_day(cases: Iterable[Case]) -> list[Case]:
    """Every third case by day, as in `make test`; all of them at night. For cases that differ little."""
    return list(cases)[:: 1 if NIGHTLY else 3]


def some(cases: Iterable[Case]) -> list[Case]:
    """Every third case where a run is to be quick; all of them else, as in `make test`."""
    return list(cases)[:: 3 if QUICK else 1]
