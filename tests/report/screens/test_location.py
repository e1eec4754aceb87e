"""The answer of `verify --locate`, in words and as a page."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from buildsys.figures.location import JudgedLocation
from buildsys.report.pages.location import page, plot
from buildsys.report.screens.location import print_location, sentences
from tests.support.located import located


def row(number: int, **more: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "number": number,
        "artifact_op": "mul",
        "name": f"value_{number}",
        "reference_op": "aten::mul",
        "module": "encoder.layer",
        "error": 10.0 ** (number - 9),
        "finite": True,
        "largest": 2.0,
        "explained": number < 10,
    }
    return known | more


def location(**more: Any) -> JudgedLocation:
    return located(**{"table": [row(number) for number in range(20)]} | more)


def printed(found: JudgedLocation, width: int, verbose: bool = False) -> str:
    console = Console(width=width, force_terminal=False, highlight=False)
    with console.capture() as capture:
        print_location(console, found, "artifacts/.diagnosis/x.html", verbose=verbose)
    return capture.get()


def test_it_says_where_in_the_users_words() -> None:
    first, second = sentences(location())
    assert first == (
        "`ios/text.coreml-fp16` goes wrong at `mul` (number 8, `value_8`), in `embeddings` "
        "(model.py:42: `mask = (1 - mask) * MIN <b>`)."
    )
    assert "(error 1.0e-04)" in second
    assert "(5.0e-01; " in second


def test_an_overflow_says_its_range_and_what_cures_it() -> None:
    overflow = {"largest": 5.1e6, "limit": 65504.0, "strays": 1}
    found = location(kind="overflow", overflow=overflow, cure={"keep_float": ["embeddings"]})
    assert (
        "numbers up to 5.1e+06, float16 ends at 65504, and 1 value of its result is"
        in (sentences(found)[1])
    )
    assert "  keep_float: [embeddings]\n" in printed(found, 100)
    assert "<code>keep_float: [embeddings]</code>" in page(found)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_table_fits_and_shows_the_place(width: int) -> None:
    lines = printed(location(), width).splitlines()
    assert all(len(line.rstrip()) <= width for line in lines)
    (at,) = [line for line in lines if line.startswith(">")]
    assert "value_8" in at
    assert [n for n in range(20) if any(f"value_{n} " in line for line in lines[3:])] == list(
        range(2, 15)
    )
    assert "7 more operations: -v" in lines
    assert "more operations" not in printed(location(), width, verbose=True)


def test_what_is_healthy_is_said_with_its_largest_step() -> None:
    found = location(found=False, kind="healthy", operation=None, largest_step=row(3))
    (said,) = sentences(found)
    assert "differs nowhere beyond tolerance: the outputs' error is 4.0e-01" in said
    assert "most at `mul` (number 3, `value_3`) in `encoder.layer`, to 1.0e-06" in said


@pytest.mark.parametrize("kind", ["output-order", "runtime"])
def test_what_no_operation_does_is_said_in_words(kind: str) -> None:
    found = location(kind=kind, operation=None, in_words="outputs are in another order")
    assert sentences(found) == ["`ios/text.coreml-fp16` goes wrong: outputs are in another order."]
    assert "outputs are in another order" in page(found)


def test_the_page_is_one_file_that_loads_nothing() -> None:
    rows = [row(n, error=0.0) for n in range(3)] + [
        row(3, finite=False, error=None),
        row(4, error=1e-3),
    ]
    written = page(location(table=rows, operation={"number": 3, "type": "mul", "name": "v<"}))
    assert "<b>" not in written
    assert "v&lt;" in written
    assert not re.search(r"(src|href)=|@import|url\(|<script", written)
    drawing = ElementTree.fromstring(plot(location(table=rows)))
    marks = [e for e in drawing.iter() if e.tag == "circle"]
    assert len(marks) == 4
    assert sum("not finite" in (e.text or "") for e in drawing.iter("title")) == 1
    heights = [float(mark.attrib["cy"]) for mark in marks]
    assert heights[0] == max(heights) > heights[-1]


def test_the_page_tells_the_way_out_and_what_its_colours_mean() -> None:
    written = page(location(way_out="in `model.py:4` write `.std(correction=1)`"))
    assert (
        "<p>Way out: in <code>model.py:4</code> write <code>.std(correction=1)</code>.</p>"
        in written
    )
    cured = page(location(way_out="keep it", cure={"keep_float": ["head"]}))
    assert "Way out: in the profile of the recipe, <code>keep_float: [head]</code>" in cured
    assert "keep it" not in cured
    assert "where it goes wrong" in written
    assert "where it goes wrong" not in page(location(table=[]))
    # An error of 0 is at the bottom, which is not what the axis would say of it.
    assert "≤ 1e-" in plot(location())
