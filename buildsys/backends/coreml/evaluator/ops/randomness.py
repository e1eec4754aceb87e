"""Random numbers, which no two machines draw alike."""

from __future__ import annotations

from ..errors import Undefined
from ..registry import Ints, Tensor, operation


def _drawn(name: str) -> Undefined:
    return Undefined(f"{name}: its output is random and cannot be compared")


@operation("random_bernoulli")
def random_bernoulli(shape: Ints, prob: float = 0.5, seed: int = -1) -> Tensor:
    """Zeros and ones."""
    raise _drawn("random_bernoulli")


@operation("random_categorical")
def random_categorical(x: Tensor, mode: str = "logits", size: int = 1, seed: int = -1) -> Tensor:
    """Classes."""
    raise _drawn("random_categorical")


@operation("random_normal")
def random_normal(shape: Ints, mean: float = 0.0, stddev: float = 1.0, seed: int = -1) -> Tensor:
    """Normally distributed numbers."""
    raise _drawn("random_normal")


@operation("random_uniform")
def random_uniform(shape: Ints, low: float = 0.0, high: float = 1.0, seed: int = -1) -> Tensor:
    """Evenly distributed numbers."""
    raise _drawn("random_uniform")
