"""What operators of the sets below 7 mean where ONNX's reference evaluator takes them for later ones.

Then an operand of fewer axes was laid along the axes from `axis` on, and a slope of `PRelu` along the
channels; since set 7 both are laid along the last axes. An attribute of `Dropout` said
whether it trains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

LOWEST = 7
"""The first operator set that these are not for."""
BINARY: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "And": np.logical_and,
    "Equal": np.equal,
    "Greater": np.greater,
    "Less": np.less,
    "Mul": np.multiply,
    "Or": np.logical_or,
    "Pow": np.power,
    "Sub": np.subtract,
    "Xor": np.logical_xor,
}
"""Operators with `axis`, but for `Div`, which rounds whole numbers in a way of its own."""


def along(operand: NDArray[Any], axis: int | None, rank: int) -> NDArray[Any]:
    """An operand with axes of one behind it, so that its first one lies along `axis`."""
    if axis is None:
        return operand
    behind = rank - axis % rank - operand.ndim
    return operand.reshape(*operand.shape, *(1,) * behind)


def _binary(name: str, function: Callable[..., Any]) -> type[OpRun]:
    def _run(
        self: Any, a: Any, b: Any, axis: int | None = None, broadcast: int | None = None
    ) -> tuple[Any]:
        return (np.asarray(function(a, along(b, getattr(self, "axis", axis), a.ndim))),)

    return type(name, (OpRun,), {"op_domain": "", "_run": _run})


def _divided(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    made: NDArray[Any] = np.divide(a, b)
    return made if a.dtype.kind == "f" else np.trunc(made).astype(a.dtype)


class PRelu(OpRun):  # type: ignore[misc]
    """`x` where it is positive, `slope * x` elsewhere; a slope of one axis belongs to the channels."""

    op_domain = ""

    def _run(self, x: NDArray[Any], slope: NDArray[Any]) -> tuple[NDArray[Any]]:
        if slope.ndim == 1 and slope.size > 1:
            slope = along(slope, 1, x.ndim)
        return (np.where(x > 0, x, x * slope).astype(x.dtype),)


class Dropout(OpRun):  # type: ignore[misc]
    """The input as it is; the reference evaluator knows no operator of this name before set 7."""

    op_domain = ""

    def _run(
        self, x: NDArray[Any], is_test: int | None = None, **_: Any
    ) -> tuple[NDArray[Any], ...]:
        if not getattr(self, "is_test", is_test):
            raise ValueError("its `Dropout` is one for training, whose output is random")
        return (x, np.ones_like(x))[: len(self.onnx_node.output)]


OPERATORS = [
    *(_binary(name, each) for name, each in BINARY.items()),
    _binary("Div", _divided),
    Dropout,
    PRelu,
]
"""For `ReferenceEvaluator(new_ops=...)`."""
AXIS = frozenset((*BINARY, "Div"))
"""Operators whose second operand is laid along an axis."""
