"""Chooses the samples on which a fault is located; a step of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.arrays import is_labels
from buildsys.backends.kit.protocol.request import Request
from buildsys.verify.judgment.gates import DECLARED_EDGES
from buildsys.verify.outputs.edge_cases import edges
from buildsys.verify.outputs.fault import VerifyError
from buildsys.verify.outputs.metrics import variation


def choose(request: Request) -> None:
    """Writes `chosen` (`.npz`): the samples, the worst of them first; and `varies` (`.json`).

    The latter says how much each output varies over all samples, which two of them do not tell; what
    the original was not run for is missing.

    Inputs: `samples`; where the artifact was run, `got` and `reference` (outputs for them), and maybe
    `edges`, `got_edges` and `reference_edges` (what both were fed at the edges, and gave): the worst
    is one of these where an artifact goes wrong there alone. Edges that no bound judges are left out.
    Options: `outputs`, `scheme`.
    """
    samples = {k: v for k, v in arrays.load(request.inputs["samples"]).items() if not is_labels(k)}
    count = len(next(iter(samples.values())))
    order = list(range(count))
    varies: dict[str, float] = {}
    if "got" in request.inputs:
        got, reference = (arrays.load(request.inputs[n]) for n in ("got", "reference"))
        outputs = [
            name
            for name in request.options["outputs"]
            if name in got and got[name].shape == reference[name].shape
        ]
        varies = {name: variation(reference[name]) for name in outputs}
        if "edges" in request.inputs:
            count += _add_edges(request, outputs, samples, got, reference)
            order = list(range(count))
        badness = np.zeros(count)
        for name in outputs:
            badness += _badness(got[name], reference[name], count)
        # Stable: of equals the first.
        order = sorted(order, key=lambda row: -badness[row])
    # The worst, then the others in their own order: they differ as samples do.
    rows = [*order[:1], *(r for r in range(count) if r != order[0])]
    arrays.save(request.outputs["chosen"], {n: a[rows] for n, a in samples.items()})
    known = {name: value for name, value in varies.items() if math.isfinite(value) and value > 0}
    request.outputs["varies"].write_text(json.dumps(known) + "\n")


def _add_edges(
    request: Request,
    outputs: Sequence[str],
    samples: arrays.Arrays,
    got: arrays.Arrays,
    reference: arrays.Arrays,
) -> int:
    """Puts a row for each edge behind the samples and what they gave; gives how many there are."""
    fed, mine, theirs = (
        arrays.grouped(arrays.load(request.inputs[n]))
        for n in ("edges", "got_edges", "reference_edges")
    )
    added = 0
    judged = _judged_edges(request, outputs, reference)
    for case, feed in fed.items():
        if case not in judged:
            continue
        rows = [(samples, feed, samples), (got, mine.get(case, {}), outputs)]
        rows.append((reference, theirs.get(case, {}), outputs))
        if not all(
            name in given and given[name].shape == (1, *held[name].shape[1:])
            for held, given, names in rows
            for name in names
        ):
            continue
        for held, given, names in rows:
            for name in [*names]:
                held[name] = np.concatenate([held[name], given[name].astype(held[name].dtype)])
        added += 1
    return added


def _judged_edges(
    request: Request, outputs: Sequence[str], reference: arrays.Arrays
) -> Collection[str]:
    """The cases that a bound judges; all of them where the original allows no judgement."""
    mine, theirs = (arrays.load(request.inputs[n]) for n in ("got_edges", "reference_edges"))
    samples = {name: reference[name] for name in outputs}
    try:
        known = edges(mine, theirs, samples, [*outputs])
    except VerifyError:
        return arrays.grouped(mine).keys()
    return [edge["case"] for edge in known if _judged(edge, request.options["scheme"])]


def _judged(edge: Mapping[str, Any], scheme: str | None) -> bool:
    """Whether a bound holds at an edge: see `gates`."""
    if scheme is not None and edge["case"] not in DECLARED_EDGES:
        return False
    if any(figures["nonfinite_mismatch"] for figures in edge["outputs"].values()):
        return True
    return scheme is None and any(edge["steady"].values())


def _badness(got: NDArray[Any], reference: NDArray[Any], count: int) -> NDArray[np.float64]:
    a = got.astype(np.float64).reshape(count, -1)
    r = reference.astype(np.float64).reshape(count, -1)
    with np.errstate(invalid="ignore"):
        apart = np.where(a == r, 0.0, np.abs(a - r))
    apart = np.where(np.isfinite(apart), apart, 1e300)
    scale = float(np.abs(r[np.isfinite(r)]).max(initial=0.0)) or 1.0
    worst: NDArray[np.float64] = apart.max(axis=1, initial=0.0) / scale
    return worst
