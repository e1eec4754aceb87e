"""How far a difference of two models may be chance: both are judged on the same rows.

What one row is hard for, it mostly is for both models. So a difference is known far better than either
figure, and intervals are taken of the difference: rows are drawn again in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
NORMAL = 1.959963984540054
"""The quantile of the normal distribution that leaves 2.5 % above."""
SEED = 20260923
"""Of the draws: fixed, so that equal figures give equal intervals."""
BINOMIAL, BOOTSTRAP = "bonett-price", "bootstrap"

Interval = tuple[float, float]


def of_outcomes(lost: int, gained: int, count: int) -> Interval:
    """The interval of a difference of two proportions over the same rows, in 95 of 100 cases.

    An adjusted Wald interval: a row of each kind of change is added, so that two models that agree on
    all of few rows are not said to be equal for sure. Source: D. G. Bonett and R. M. Price, Adjusted
    Wald confidence interval for a difference of binomial proportions based on paired data, Journal of
    Educational and Behavioral Statistics 37 (2012) 479-488.

    Args:
        lost: Rows that the first model has right and the second has not.
        gained: Rows that the second has right and the first has not.
        count: All rows, one or more.

    Returns:
        The least and the greatest of `first - second`, in -1..1.
    """
    down, up = (lost + 1) / (count + 2), (gained + 1) / (count + 2)
    reach = NORMAL * math.sqrt((down + up - (down - up) ** 2) / (count + 2))
    return max(-1.0, down - up - reach), min(1.0, down - up + reach)


def draws(count: int, resamples: int) -> Iterator[NDArray[np.intp]]:
    """Rows drawn with replacement, as many as there are, again and again, always the same ones.

    Args:
        count: How many rows there are.
        resamples: How many draws.

    Yields:
        Indices [count].
    """
    generator = np.random.default_rng(SEED)
    for _ in range(resamples):
        yield generator.integers(0, count, count)


def of_draws(
    difference: Callable[[NDArray[np.intp]], float], count: int, resamples: int
) -> Interval | None:
    """The interval of a difference of any two figures over the same rows: a paired bootstrap.

    The percentiles of the differences over rows drawn again. Source: B. Efron and R. J. Tibshirani, An
    Introduction to the Bootstrap (1993), 13.3.

    Args:
        difference: Of the two figures over given rows.
        count: How many rows there are.
        resamples: How many draws, 1 or more.

    Returns:
        The ends of the interval; `None` where a draw has no difference that is finite.
    """
    found: NDArray[Any] = np.array([difference(rows) for rows in draws(count, resamples)])
    if not np.isfinite(found).all():
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)
