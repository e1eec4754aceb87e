"""Known defects are told of the places where they show, and of no others."""

from __future__ import annotations

from typing import Any

import pytest

from buildsys.diagnosis.defects import DEFECTS, explain
from buildsys.figures.location import Location
from buildsys.planner.catalog import Catalog
from buildsys.toolchains.locks.lockfile import parse
from tests.support.located import located

PINNED = {"coremltools": "9.0"}
SOURCE = {"file": "model.py", "line": 7, "text": "return x / x.std()"}


def at(**more: Any) -> Location:
    place = {"reference_op": "aten::std", "source": SOURCE, "module": "scaling", "operation": None}
    return located(**place | more)


def overflow(largest: float, **more: Any) -> Location:
    figures = {"largest": largest, "limit": 65504.0, "strays": 3}
    return at(kind="overflow", scheme="float16", reference_op="aten::mul", overflow=figures, **more)


@pytest.mark.parametrize("operator", ["aten::std", "aten::var", "aten.var.correction"])
def test_a_spread_without_its_correction(operator: str) -> None:
    known = explain(at(reference_op=operator), PINNED)
    assert known is not None
    assert known.defect == "coreml-bessel"
    assert "divides by N - 1" in known.sentence
    name = "std" if "std" in operator else "var"
    assert known.way_out == (
        f"in `model.py:7` write `.{name}(correction=1)` or `.flatten().{name}(0)`, which it "
        "converts right"
    )


def test_a_spread_is_known_by_its_line_too() -> None:
    """Where a part of it is nearest to the operator that comes next."""
    near = {"reference_op": "aten::add", "operation": {"number": 1, "type": "sqrt", "name": "s"}}
    other = {"operation": {"number": 1, "type": "conv", "name": "c"}}
    known = explain(at(**near), PINNED)
    assert known is not None
    assert known.defect == "coreml-bessel"
    assert explain(at(**near | other), PINNED) is None
    assert explain(at(**near, source=SOURCE | {"text": "return x + 1"}), PINNED) is None


def test_a_correction_that_is_taken_for_another() -> None:
    text = SOURCE | {"text": "x.var(dim=(0, 1), correction=2)"}
    known = explain(at(reference_op="aten::var", source=text), PINNED)
    assert known is not None
    assert known.defect == "coreml-correction"


def test_a_mask_that_becomes_infinite_and_values_that_are_too_large() -> None:
    mask, large = explain(overflow(3.4e38), {}), explain(overflow(9e4, source=None), {})
    assert mask is not None
    assert large is not None
    assert (mask.defect, large.defect) == ("float16-mask", "float16-range")
    assert "-1e4" in mask.way_out
    assert "9e+04 do not fit float16" in large.sentence
    assert "module `scaling`" in large.way_out


@pytest.mark.parametrize(
    ("location", "versions"),
    [
        (at(found=False), PINNED),
        (at(), {"coremltools": "9.1"}),
        (at(), {}),
        (at(format="onnx"), PINNED),
        (at(reference_op="aten::stdev"), PINNED),
        (at(reference_op=None), PINNED),
        (at(kind="input"), PINNED),
    ],
)
def test_what_is_not_known_is_not_explained(location: Location, versions: dict[str, str]) -> None:
    assert explain(location, versions) is None


def test_every_entry_is_of_the_pinned_tool() -> None:
    """An entry for a tool that is no longer pinned explains nothing: it goes with the update."""
    toolchains = Catalog.load().toolchains.values()
    pins = {
        pin.requirement.partition(";")[0].strip()
        for toolchain in toolchains
        for pin in parse(toolchain.lock.read_text())
    }
    told = {f"{d.tool}=={version}" for d in DEFECTS if d.tool for version in d.versions}
    assert told <= pins
