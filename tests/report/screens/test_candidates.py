"""What a search chose from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from buildsys.engine.events import Candidate, Chosen, SearchStarted
from buildsys.report.screens.candidates import print_searches, search_lines
from tests.report.screens.capture import lines

SMALL = {
    "name": "int8",
    "status": "passed",
    "bytes": 2500,
    "error": 0.012,
    "metric": 0.99,
    "front": True,
}
BROKEN = {"name": "int4", "status": "failed", "reason": "no kernel"}
LABEL = "edge/net.onnx"


def started(candidates: list[str], **more: Any) -> SearchStarted:
    given = {"refused": {}, "outdated": False, **more}
    return SearchStarted(
        deployable=LABEL,
        search="small",
        minimize="bytes",
        subject_to="close",
        candidates=candidates,
        **given,
    )


def chosen(passed: bool) -> Chosen:
    return Chosen(deployable=LABEL, profile="int8", passed=passed, built=2, candidates=[])


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            started(["int8", "int4"]),
            [f"search for {LABEL}: the least bytes of 2 candidates that `close` lets pass"],
        ),
        (
            started(["int8"], refused={"int4": "iOS 18 only"}, outdated=True),
            [
                f"search for {LABEL}: the least bytes of 1 candidate that `close` lets pass, "
                "as what was asked has changed",
                "  passed over: `int4`: iOS 18 only",
            ],
        ),
        (
            Candidate(deployable=LABEL, figures=SMALL),
            ["  passed    int8: 2,500 bytes, signal_error 0.012, metric 0.990"],
        ),
        (Candidate(deployable=LABEL, figures=BROKEN), ["  failed    int4: no kernel"]),
        (chosen(True), [f"search for {LABEL}: chose `int8`, after 2 builds"]),
        (chosen(False), [f"search for {LABEL}: nothing passes; nearest is `int8`, after 2 builds"]),
    ],
)
def test_events_in_words(event: SearchStarted | Candidate | Chosen, said: list[str]) -> None:
    assert list(search_lines(event)) == said


def table(search: Mapping[str, Any], width: int) -> list[str]:
    entries: list[Mapping[str, Any]] = [
        {"label": LABEL, "search": search},
        {"label": "edge/other.onnx"},
    ]
    return lines(lambda console: print_searches(console, entries), width=width)


def test_the_table_marks_the_chosen_one_and_says_why_others_have_no_figures() -> None:
    search = {"candidates": [SMALL, BROKEN], "profile": "int8", "float_bytes": 10000}
    found = table(search, 120)
    assert found[1] == f"what the search for {LABEL} chose from"
    assert found[2].split() == ["candidate", "status", "bytes", "of", "float", "error", "metric"]
    assert found[3].split() == [
        "int8",
        "←",
        "chosen",
        "passed",
        "2,500",
        "0.25",
        "0.012",
        "0.990",
        "front",
    ]
    assert found[4].split() == ["int4", "failed", "–", "–", "–", "–"]
    assert found[5:] == ["  int4: no kernel"]


def test_a_narrow_one_leaves_out_what_follows_from_the_rest() -> None:
    search = {"candidates": [{**SMALL, "latency_ratio": 0.5}], "profile": "x", "float_bytes": 10000}
    heads, row = table(search, 80)[2:]
    assert heads.split() == [
        "candidate",
        "status",
        "bytes",
        "error",
        "metric",
        "time",
        "of",
        "float",
    ]
    assert row.split() == ["int8", "passed", "2,500", "0.012", "0.990", "0.50", "front"]
