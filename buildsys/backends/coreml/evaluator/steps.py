"""The operations of a loaded program as others see them, and what went wrong in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .registry import Outputs, Tensor


@dataclass(frozen=True)
class Step:
    """An operation of a program that is no constant.

    Attributes:
        number: Counted from 1 over the function's operations that are no constants, in the file's
            order; those of nested blocks follow the operation that holds them.
        operation: The specification's word, for example `conv`.
        outputs: Names of its results.
        inputs: Names of the values that each input takes; empty names are written in place.
        constants: Those among the names that are constants.
        types: Declared types of the results.
    """

    number: int
    operation: str
    outputs: tuple[str, ...]
    inputs: Mapping[str, tuple[str, ...]]
    constants: tuple[str, ...]
    types: Outputs

    @property
    def place(self) -> str:
        """The operation for people: type, number and first result."""
        made = f", which makes `{self.outputs[0]}`" if self.outputs else ""
        return f"`{self.operation}` (operation {self.number}{made})"


@dataclass(frozen=True)
class Alarm:
    """Values that are not finite, where they arise.

    Attributes:
        number: The step's number; 0 for a constant.
        operation: The step's operation; `const` for a constant.
        output: Name of the result.
        nan: How many are NaN.
        infinite: How many are infinite.
        low: The least finite value before it was rounded to its declared type; 0 where none is.
        high: The largest.
        overflow: Whether they were finite before that rounding.
    """

    number: int
    operation: str
    output: str
    nan: int
    infinite: int
    low: float
    high: float
    overflow: bool

    def __str__(self) -> str:
        what = ", ".join(
            f"{count:,} {word}"
            for count, word in ((self.nan, "NaN"), (self.infinite, "infinite"))
            if count
        )
        number = f" (operation {self.number})" if self.number else ""
        span = f"from {self.low:.4g} to {self.high:.4g}"
        why = (
            f"; its values {span} overflow its declared type"
            if self.overflow
            else f"; the finite ones are {span}"
            if (self.low, self.high) != (0, 0)  # Nor is anything told where there is none.
            else ""
        )
        word = "value" if self.nan + self.infinite == 1 else "values"
        return f"`{self.output}` of `{self.operation}`{number} has {what} {word}{why}"


def alarm(number: int, operation: str, output: str, exact: Tensor, rounded: Tensor) -> Alarm | None:
    """The alarm of a result, or `None` where all of it is finite.

    Args:
        number: The step's.
        operation: The step's.
        output: Name of the result.
        exact: Its values before rounding.
        rounded: Its values.
    """
    if not rounded.is_floating_point():
        return None
    finite = torch.isfinite(rounded)
    if bool(finite.all()):
        return None
    nan = int(torch.isnan(rounded).sum())
    sound = exact[torch.isfinite(exact)]
    return Alarm(
        number,
        operation,
        output,
        nan,
        int((~finite).sum()) - nan,
        float(sound.min()) if sound.numel() else 0.0,
        float(sound.max()) if sound.numel() else 0.0,
        sound.numel() == exact.numel(),
    )
