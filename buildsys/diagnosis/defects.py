"""Known defects of converters, in the words of those who meet them, with the way out.

Each stands for versions of a tool that it was seen with, and has a test that shows it with the pinned
one: when an update of the pin mends it, that test fails, and the entry goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from buildsys.figures.location import Location


@dataclass(frozen=True)
class Explanation:
    """Why a deployable is wrong.

    Attributes:
        defect: Its name in the table.
        sentence: What happens, in the user's words, without the full stop.
        way_out: What to do, as an imperative.
    """

    defect: str
    sentence: str
    way_out: str

    def to_json(self) -> dict[str, str]:
        """Plain data."""
        return {"defect": self.defect, "sentence": self.sentence, "way_out": self.way_out}


@dataclass(frozen=True)
class Defect:
    """An entry of the table.

    Attributes:
        name: Names it in JSON.
        formats: Where it is met.
        tool: The package whose doing it is; empty for what a number format cannot hold.
        versions: Versions of it that do so.
        explain: Says so of a location, or `None` where that is something else.
    """

    name: str
    formats: tuple[str, ...]
    tool: str
    versions: tuple[str, ...]
    explain: Callable[[Location], tuple[str, str] | None]


def explain(location: Location, versions: Mapping[str, str]) -> Explanation | None:
    """What is known of the fault at a location.

    Args:
        location: Where a deployable goes wrong.
        versions: The packages of the toolchain that made it, by name.
    """
    if not location.found:
        return None
    for defect in DEFECTS:
        if defect.formats and location.format not in defect.formats:
            continue
        if defect.tool and versions.get(defect.tool) not in defect.versions:
            continue
        told = defect.explain(location)
        if told is not None:
            return Explanation(defect.name, *told)
    return None


def _place(location: Location) -> str:
    """The user's own line, or the module."""
    source = location.source
    if source:
        return f"`{source.file}:{source.line}`"
    return f"module `{location.module}`" if location.module else "the model"


def _line(location: Location) -> str:
    return (location.source.text if location.source else None) or ""


_SPREAD = re.compile(r"aten(?:::|\.)(std|var)\b")


_WRITTEN = re.compile(r"\b(std|var)\(")
_SPELLED_OUT = ("reduce_mean", "reduce_sum", "mul", "real_div", "sqrt")
"""What coremltools writes for the last of either; the original's operator there may be its neighbour."""


def _spread(location: Location) -> tuple[str, str] | None:
    found = _SPREAD.search(location.reference_op or "")
    if found is None and (
        location.operation is not None and location.operation.type in _SPELLED_OUT
    ):
        found = _WRITTEN.search(_line(location))
    if found is None or location.kind != "op":
        return None
    name = found.group(1)
    root = ", under the root" if name == "std" else ""
    return (
        f"The converter, coremltools 9.0, divides by N where `{name}` without a `dim` divides by "
        f"N - 1: the result is too small by the factor (N - 1) / N{root}",
        f"in {_place(location)} write `.{name}(correction=1)` or `.flatten().{name}(0)`, which it "
        "converts right",
    )


def _correction(location: Location) -> tuple[str, str] | None:
    text = _line(location)
    if _spread(location) is None or not re.search(r"correction\s*=\s*([2-9]|[1-9]\d)", text):
        return None
    return (
        "The converter, coremltools 9.0, takes every `correction` of `std` and `var` in TorchScript for 1",
        f"in {_place(location)} scale the variance yourself, or take `capture: export`",
    )


_LARGEST = 65504.0


def _infinite_mask(location: Location) -> tuple[str, str] | None:
    if location.kind != "overflow" or location.scheme != "float16":
        return None
    largest = location.overflow.largest if location.overflow else 0.0
    if largest < 1e38:
        return None
    return (
        "A constant beyond all of float16 (a mask of the least float32) becomes an infinity in it, and "
        "0 · ∞ is not a number: what it reaches is lost, where the original has a plain 0",
        f"keep {_place(location)} in float32 with `keep_float`, or mask with -1e4 in the model",
    )


def _overflow(location: Location) -> tuple[str, str] | None:
    if location.kind != "overflow":
        return None
    largest = location.overflow.largest if location.overflow else 0.0
    said = f"Values up to {largest:.3g}" if largest > _LARGEST else "Values"
    return (
        f"{said} do not fit float16, whose largest number is 65504: they become infinities",
        f"keep {_place(location)} in float32 with `keep_float`, or scale the values down in the model",
    )


DEFECTS = (
    Defect("coreml-correction", ("coreml", "mlmodel"), "coremltools", ("9.0",), _correction),
    Defect("coreml-bessel", ("coreml", "mlmodel"), "coremltools", ("9.0",), _spread),
    Defect("float16-mask", (), "", (), _infinite_mask),
    Defect("float16-range", (), "", (), _overflow),
)
"""The first that fits is reported."""
