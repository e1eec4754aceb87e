"""Inputs at the edges: all zeros, and the least and the greatest values that inputs hold.

Samples seldom hold them, apps do: a black picture, silence, a mask that lets nothing pass, a saturated
sensor. An overflow in float16, a clipped range or a division by zero shows there. The original is fed each
once; where it fails, or gives what is not finite, the edge is left out with a note. Artifacts are fed what it
was.

Arrays are named `CASE/INPUT` and `CASE/OUTPUT`, one row each. `low` and `high` are the ends of the declared
`range` of every input that is floating, `least` and `most` those of the samples, where one has no `range`.
What the original gives for nearly the same input is named `CASE~/OUTPUT`, several rows: where one of them
differs much (a norm over an input that is constant), the edge tells of rounding only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol.arrays import Arrays, grouped
from ..protocol.cause import first_lines
from ..protocol.request import Request, StepError
from . import batches
from .batches import Plan, Run
from .edge_cases import WORDS

NEARLY = "~"
"""Ends a case's name where its input was moved a little."""
DRAWS = 4
"""How often an edge is moved: one alone may be rounded as the edge is, by chance."""
MOVED = 1e-6
"""How far, relative to the greatest value of the input: some units in the last place of float32."""

Ports = list[dict[str, Any]]


def original(
    run: Run, samples: Arrays, plan: Plan, request: Request, names: list[str]
) -> tuple[Arrays, Arrays]:
    """Runs the original model at the edges.

    Args:
        run: Runs it once.
        samples: Input name to [n, ...].
        plan: Its batch sizes.
        request: Its options hold the ports; what is left out is noted there.
        names: The outputs.

    Returns:
        What it was fed, and what it gave.
    """
    fed: Arrays = {}
    given: Arrays = {}
    for case, feed in _cases(samples, request.options["ports"]).items():
        try:
            outputs = batches.run(run, feed, plan, names).outputs
        except Exception as error:  # Whatever the user's code raises: the samples say that it runs.
            request.note(f"the original model does not take {WORDS[case]}: {first_lines(error)}")
            continue
        strays = [name for name, array in outputs.items() if not _finite(array)]
        if strays:
            request.note(
                f"the original model gives NaN or infinities for {WORDS[case]}: artifacts are not "
                "compared there"
            )
            continue
        fed |= {f"{case}/{name}": array for name, array in feed.items()}
        given |= {f"{case}/{name}": array for name, array in outputs.items()}
        try:
            nearly = [
                batches.run(run, _moved(feed, samples, seed), plan, names).outputs
                for seed in range(DRAWS)
            ]
            # Values may decide the size of an output: each draw then has another.
            joined = {name: np.concatenate([each[name] for each in nearly]) for name in outputs}
        except Exception:  # noqa: S112 - then nothing is known of what is near, which is allowed.
            continue
        given |= {f"{case}{NEARLY}/{name}": array for name, array in joined.items()}
    return fed, given


def artifact(run: Run, fed: Arrays, plan: Plan, names: list[str]) -> Arrays:
    """Runs an artifact on what the original was fed at the edges.

    Raises:
        StepError: It does not run there.
    """
    given: Arrays = {}
    for case, feed in grouped(fed).items():
        try:
            outputs = batches.run(run, feed, plan, names).outputs
        except Exception as error:  # As a runtime raises it; the log keeps the whole trace.
            raise StepError(
                f"the artifact does not run on {WORDS[case]}, which the original takes: "
                f"{first_lines(error)}",
                "declare the `range` that inputs really have, if it takes no such values",
                "inputs",
            ) from error
        given |= {f"{case}/{name}": array for name, array in outputs.items()}
    return given


def _cases(samples: Arrays, ports: Ports) -> dict[str, Arrays]:
    """One row of inputs a case, each row once."""
    floating = [port for port in ports if np.dtype(port["dtype"]).kind == "f"]
    declared = all(port["range"] is not None for port in floating)
    ends = [_ends(port, samples[port["name"]]) for port in ports]
    wanted = {
        "zeros": [min(max(0, low), high) for low, high in ends],
        "low" if declared else "least": [low for low, _ in ends],
        "high" if declared else "most": [high for _, high in ends],
    }
    found: dict[str, Arrays] = {}
    known: set[tuple[float, ...]] = set()
    for case, values in wanted.items():
        if tuple(values) in known:
            continue
        known.add(tuple(values))
        found[case] = {
            port["name"]: np.full_like(samples[port["name"]][:1], value)
            for port, value in zip(ports, values, strict=True)
        }
    return found


def _ends(port: Mapping[str, Any], rows: NDArray[np.generic]) -> tuple[Any, Any]:
    """The least and the greatest value of an input."""
    if port["range"] is not None:
        low, high = port["range"]
        return low, high
    if rows.dtype.kind == "b":
        return False, True
    finite = rows[np.isfinite(rows)] if rows.dtype.kind == "f" else rows.ravel()
    return (finite.min(), finite.max()) if finite.size else (0, 0)


def _moved(feed: Arrays, samples: Arrays, seed: int) -> Arrays:
    """The inputs, moved by what rounding may move them."""
    generator = np.random.default_rng(seed)
    found: Arrays = {}
    for name, array in feed.items():
        if array.dtype.kind != "f":
            found[name] = array
            continue
        finite = samples[name][np.isfinite(samples[name])]
        size = max(float(np.abs(array).max(initial=0)), float(np.abs(finite).max(initial=0)))
        noise = MOVED * size * generator.standard_normal(array.shape)
        found[name] = (array.astype(np.float64) + noise).astype(array.dtype)
    return found


def _finite(array: NDArray[np.generic]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
