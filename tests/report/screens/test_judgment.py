"""Deployables with each of their bounds."""

from __future__ import annotations

from buildsys.report.screens.judgment import print_judgement
from tests.report.screens.capture import lines
from tests.space import Space


def shown(space: Space, *, verbose: bool = False) -> list[list[str]]:
    build = space.build("ios")
    return [
        line.split()
        for line in lines(
            lambda console: print_judgement(console, build, 1.0, verbose=verbose), width=140
        )
    ]


def test_bounds_that_were_asked_for_and_verbosely_all(space: Space) -> None:
    rows = shown(space)
    assert ["ios/m.onnx", "verified", "held", "to", "`close`"] in rows
    (row,) = [row for row in rows if row[:3] == ["pass", "signal_error", "y"]]
    assert row[4] == "≤"
    assert not any("finite" in row for row in rows)
    assert ["pass", "finite", "y", "0", "≤", "0"] in shown(space, verbose=True)
