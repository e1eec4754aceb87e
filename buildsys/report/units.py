"""Numbers with a unit that fits."""

from __future__ import annotations


def size(count: int | None) -> str:
    """Bytes in a unit that fits."""
    if count is None:
        return "–"
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def milliseconds(value: float) -> str:
    """A time in milliseconds, with three digits that count: `0.123`, `12.3`, `1230`."""
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"
