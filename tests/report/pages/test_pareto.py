"""A search's candidates as points of size and error."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

from buildsys.figures.candidate import Choice
from buildsys.figures.json_form import read
from buildsys.report.pages.pareto import page, plot

CANDIDATES: list[dict[str, Any]] = [
    {
        "name": "float",
        "status": "passed",
        "bytes": 1000,
        "error": 0.0,
        "front": True,
        "metric": 0.9,
    },
    {"name": "<int8>", "status": "passed", "bytes": 300, "error": 1e-2, "front": True},
    {"name": "int4", "status": "rejected", "bytes": 400, "error": 1e-1, "reason": "a & b"},
    {"name": "none", "status": "failed", "reason": "no kernel"},
]
SEARCH = read(Choice, {"candidates": CANDIDATES, "profile": "<int8>", "built": 3})


def test_each_built_candidate_is_a_point_and_the_front_a_line() -> None:
    svg = ElementTree.fromstring(plot(SEARCH))
    circles = {c.findtext("title", "").partition(":")[0]: c for c in svg.iter("circle")}
    assert set(circles) == {"float", "<int8>", "int4"}
    assert {name: c.get("class") for name, c in circles.items()} == {
        "float": "good",
        "<int8>": "good",
        "int4": "odd",
    }
    # The chosen one is larger; a larger file is further right, a larger error further up.
    assert {name: c.get("r") for name, c in circles.items()}["<int8>"] == "7"
    across = {name: float(c.get("cx", "")) for name, c in circles.items()}
    up = {name: -float(c.get("cy", "")) for name, c in circles.items()}
    assert sorted(across, key=across.__getitem__) == ["<int8>", "int4", "float"]
    assert sorted(up, key=up.__getitem__) == ["float", "<int8>", "int4"]
    (line,) = svg.iter("polyline")
    assert [float(pair.partition(",")[0]) for pair in line.get("points", "").split()] == [
        across["<int8>"],
        across["float"],
    ]


def test_nothing_built_is_nothing_drawn() -> None:
    assert plot(replace(SEARCH, candidates=SEARCH.candidates[3:])) == ""


def test_the_page_loads_nothing_and_names_are_escaped() -> None:
    text = page("ios/a&b", SEARCH)
    assert text == page("ios/a&b", SEARCH)
    assert "<title>ios/a&amp;b</title>" in text
    assert "&lt;int8&gt; ←" in text
    assert "<int8>" not in text
    assert "a &amp; b" in text
    assert re.findall(r"""(?:src|href)=|url\(|<script""", text) == []
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td>", text)
    assert rows[0] == ("float", "passed, on the front")
    assert [status for _, status in rows] == [
        "passed, on the front",
        "passed, on the front",
        "rejected",
        "failed",
    ]
