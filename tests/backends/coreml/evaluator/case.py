"""A call of an operation, and what its documentation says about the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
At = tuple[Any, ...]

RANDOM = np.random.default_rng(7)


@dataclass(frozen=True)
class Case:
    """A call.

    Attributes:
        operation: The specification's word.
        given: Its inputs: arrays where it takes tensors, Python values elsewhere.
        expected: Its result or results, or what is raised: `Unsupported`, `Undefined`.
    """

    operation: str
    given: Mapping[str, Any]
    expected: Array | tuple[Array, ...] | str

    @property
    def name(self) -> str:
        attributes = (
            f"{name}={self._short(value)}"
            for name, value in self.given.items()
            if not isinstance(value, np.ndarray)
        )
        return f"{self.operation}({', '.join(attributes)})"

    @staticmethod
    def _short(value: Any) -> str:
        if isinstance(value, tuple) and any(isinstance(each, np.ndarray) for each in value):
            return f"{len(value)} tensors"
        return repr(value).replace(" ", "")


def floats(*shape: int, low: float = -2.0, high: float = 2.0) -> Array:
    """Evenly distributed float32."""
    return RANDOM.uniform(low, high, shape).astype(np.float32)


def f32(values: Any) -> Array:
    return np.asarray(values, np.float32)


def i32(values: Any) -> Array:
    return np.asarray(values, np.int32)
