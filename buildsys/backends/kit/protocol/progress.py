"""How far a step is, told while it runs: a line of JSON now and then, which the coordinator reads."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

EVERY_SECONDS = 0.2
"""How often a step says how far it is, at most; one that is over before says nothing."""


class Progress:
    """The lines of one step.

    A file, for a step may run in a child of a host or in a process of its own, and whoever reads it can
    come and go.

    Args:
        path: The file that lines are appended to; `None` without a listener.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._told = time.monotonic()
        self._any = False

    def tell(self, done: float, total: float, figures: dict[str, float | int | str]) -> None:
        """Appends a line, unless the last one is young.

        The end of whatever was announced is always announced.
        """
        if self._path is None:
            return
        now = time.monotonic()
        last = done >= total and self._any
        if now - self._told < EVERY_SECONDS and not last:
            return
        self._told, self._any = now, not last
        line = {"done": done, "total": total, "figures": _plain(figures)}
        with self._path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")


def _plain(figures: dict[str, float | int | str]) -> dict[str, float | int | str | None]:
    """Figures as JSON has them: it knows no NaN, and no numbers of numpy and torch."""
    found: dict[str, float | int | str | None] = {}
    for name, value in figures.items():
        if isinstance(value, str | int):
            found[name] = value
        else:
            number = float(value)
            found[name] = number if math.isfinite(number) else None
    return found
