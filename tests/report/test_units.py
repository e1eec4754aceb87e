"""Numbers with a unit that fits."""

from __future__ import annotations

import pytest

from buildsys.report.units import milliseconds, size


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "–"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (2048 * 1024**3, "2048.0 GiB"),
    ],
)
def test_bytes(count: int | None, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (1234.0, "1234")]
)
def test_times_have_three_digits_that_count(value: float, shown: str) -> None:
    assert milliseconds(value) == shown
