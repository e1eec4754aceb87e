"""Whether a rewritten graph still computes what it did: both files are run on the same inputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kit.export.survey import capture_sizes
from ...kit.protocol import ports as ports_of
from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from .. import runtime

FARTHEST = {"float16": 3e-2}
"""How far values may lie apart, as a share of the output's largest, for each dtype."""
OTHERWISE = 1e-3
TRIES = 4
"""Other sizes that are tried, at most: models do not take all of them."""


def check(before: Path, after: Path, contract: Contract, request: Request, field: str) -> None:
    """Runs both files at two sizes on random inputs; masks of integers have holes anywhere.

    Only finite floats are compared: equally good indices may swap, and gates judge the rest.

    Args:
        before: The file as it was.
        after: The file as it has become.
        contract: The inputs and outputs of both.
        request: For its ports and threads.
        field: The recipe's option that asked for the rewriting.

    Raises:
        StepError: They disagree, or the rewritten file does not run.
    """
    old = runtime.load(before, contract, request.threads)
    new = runtime.load(after, contract, request.threads)
    runs = 0
    for feed in _feeds(request.options["ports"]):
        try:
            wanted = old.run(feed)
        except Exception:
            if runs == 0:
                raise
            continue  # The model does not take this size, and need not.
        try:
            got = new.run(feed)
        except Exception as error:
            raise _wrong(f"makes a file that does not run: {error}", field) from error
        for name, array in wanted.items():
            _compare(name, array, got[name], field)
        runs += 1
        if runs == 2:
            return


def _feeds(ports: list[dict[str, Any]]) -> Iterator[dict[str, NDArray[Any]]]:
    sizes = capture_sizes(ports, dynamic=True)
    yield ports_of.random_feed(ports, sizes, seed=0)
    others = {s: ports_of.other_sizes(d, sizes[s]) for s, d in ports_of.symbols(ports).items()}
    for number in range(min(TRIES, max((len(found) for found in others.values()), default=0))):
        moved = {s: found[min(number, len(found) - 1)] for s, found in others.items() if found}
        yield ports_of.random_feed(ports, sizes | moved, seed=number + 1)


def _compare(name: str, wanted: NDArray[Any], got: NDArray[Any], field: str) -> None:
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        raise _wrong(
            f"changes `{name}` from {wanted.dtype}{list(wanted.shape)} "
            f"to {got.dtype}{list(got.shape)}",
            field,
        )
    if not np.issubdtype(wanted.dtype, np.floating) or not wanted.size:
        return
    finite = np.isfinite(wanted)
    one, two = (a[finite].astype(np.float64) for a in (wanted, got))
    largest = float(np.abs(one).max(initial=0.0))
    error = float(np.abs(one - two).max(initial=0.0))
    if not error <= FARTHEST.get(wanted.dtype.name, OTHERWISE) * max(largest, 1e-6):
        raise _wrong(
            f"changes the values of `{name}` by up to {error:.3g}, where the largest is {largest:.3g}",
            field,
        )


def _wrong(what: str, field: str) -> StepError:
    word = field.rpartition(".")[2]
    return StepError(f"`{word}` {what}", f"leave `{word}` out for this model", field)
