"""Feeds samples in batches that an artifact can take, and joins its outputs again.

Arrays of samples are [n, ...]. Where they have as many axes as the port, axis 0 is the batch axis and
slices of it are fed; where they have one more, the model knows no batch and gets one sample a run.
A format with fixed sizes is fed its example size, the last slice padded by repeating and its result
cut. A dynamic one is run at two sizes at least: a batch that a converter fixed unasked shows up here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol.arrays import Arrays
from ..protocol.contract import Contract
from ..protocol.ports import model_shape
from ..protocol.request import StepError

LARGEST = 32
"""The larger batch of a dynamic artifact, where its `max` allows."""

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Plan:
    """How an artifact's inputs are fed.

    Attributes:
        shapes: Input name to its sizes in the model's order; a symbol may vary.
        first: The batch of the first run, and of the latency's.
        then: The batch of all other runs, or less for few samples; equal to `first` where it is fixed.
        least: The smallest batch.
    """

    shapes: dict[str, list[int | str]]
    first: int
    then: int
    least: int = 1


@dataclass(frozen=True)
class Joined:
    """Outputs of all samples, [n, ...] each, and the batch sizes that were run."""

    outputs: Arrays
    sizes: set[int]


def plan(ports: list[dict[str, Any]], contract: Contract | None, dynamic: bool) -> Plan:
    """Chooses batch sizes.

    Args:
        ports: The request's ports.
        contract: Sizes as the artifact has them, or `None` for the ports' own.
        dynamic: Whether the format keeps dynamic sizes.
    """
    # A picture has a height and a width; the model's own array of it has more axes.
    arrays = [port for port in contract.inputs if port.kind == "array"] if contract else []
    held = {port.name: model_shape(port) for port in arrays}
    shapes: dict[str, list[int | str]] = {}
    least, most = 1, LARGEST
    first: int | None = None
    varies = dynamic
    for port in ports:
        shape = list(held.get(port["name"], port["shape"]))
        dims = port["dims"]
        if not dynamic:
            shape = [dims[s]["example"] if isinstance(s, str) and s in dims else s for s in shape]
        shapes[port["name"]] = shape
        if not shape:
            continue
        lead = shape[0]
        if isinstance(lead, str):
            bounds = dims.get(lead, {"min": 1, "max": LARGEST, "example": 1})
            least, most = max(least, bounds["min"]), min(max(most, bounds["min"]), bounds["max"])
            first = first or bounds["example"]
        else:
            varies, first = False, lead
    one = first or 1
    if not varies or least >= most:
        return Plan(shapes, one, one)
    return Plan(shapes, one, most if most != one else max(least, one // 2), least)


def run(
    run_once: Run,
    feeds: Mapping[str, NDArray[Any]],
    plan: Plan,
    names: list[str],
    progress: Callable[[int, int], None] | None = None,
) -> Joined:
    """Runs all samples.

    Args:
        run_once: Runs one batch.
        feeds: Input name to [n, ...].
        plan: Batch sizes.
        names: The outputs, which the artifact must give, no more and no less.
        progress: Told how many samples are done, and how many there are.

    Raises:
        StepError: Samples do not fit the sizes, outputs are missing, or an output has no batch axis.
    """
    total = _count(feeds, plan)
    if not all(_batched(name, feeds, plan) for name in feeds):
        return _one_by_one(run_once, feeds, plan, names, total, progress)
    slices = _slices(total, plan)
    results = []
    for start, size in slices:
        rows = np.minimum(np.arange(start, start + size), total - 1)
        got = run_once({name: feed[rows] for name, feed in feeds.items()})
        check_names(got, names)
        results.append(got)
        if progress is not None:
            progress(min(start + size, total), total)
    joined: Arrays = {}
    for name in names:
        axis = _axis(name, results, slices)
        parts, done = [], 0
        for (start, size), got in zip(slices, results, strict=True):
            parts.append(_leading(got[name], axis)[done - start : total - start])
            done = max(done, min(total, start + size))
        joined[name] = np.concatenate(parts)
    return Joined(joined, {size for _, size in slices})


def example(
    feeds: Mapping[str, NDArray[Any]], plan: Plan, batch: int | None = None
) -> dict[str, NDArray[Any]]:
    """The first samples as one batch, repeated where there are too few.

    Args:
        feeds: Input name to [n, ...].
        plan: How the inputs are fed.
        batch: How many; the example size by default.
    """
    size = (batch or plan.first) if all(_batched(name, feeds, plan) for name in feeds) else 1
    fed = {}
    for name, feed in feeds.items():
        rows = np.arange(size) % len(feed)
        fed[name] = feed[rows] if _batched(name, feeds, plan) else np.array(feed[0])
    return fed


def _batched(name: str, feeds: Mapping[str, NDArray[Any]], plan: Plan) -> bool:
    return feeds[name].ndim == len(plan.shapes[name])


def _count(feeds: Mapping[str, NDArray[Any]], plan: Plan) -> int:
    counts = {len(feed) for feed in feeds.values()}
    if len(counts) != 1 or 0 in counts:
        raise StepError(f"the inputs hold {sorted(counts)} samples: one number, not 0, is needed")
    for name, feed in feeds.items():
        shape = plan.shapes[name]
        wanted = shape[1:] if _batched(name, feeds, plan) else shape
        given = list(feed.shape[1:])
        if len(wanted) != len(given) or any(
            isinstance(size, int) and size != have for size, have in zip(wanted, given, strict=True)
        ):
            raise StepError(
                f"samples of shape {given} do not fit the artifact's input `{name}` of shape {shape}",
                "an artifact with fixed sizes takes samples of the `example` size",
                "samples",
            )
    return counts.pop()


def _slices(total: int, plan: Plan) -> list[tuple[int, int]]:
    """(start, size) of each run; the last may reach beyond `total`, where samples are repeated."""
    slices = [(0, plan.first)]
    # With few samples the second size is no larger than it must be; where the first run took all of
    # them, the second takes them again, so that two sizes are run whatever `total` is.
    size = max(plan.least, min(plan.then, max(total, plan.first + 1)))
    if plan.first == plan.then:
        size = plan.first
    elif plan.first >= total:
        slices.append((0, size))
    slices += [(start, size) for start in range(plan.first, total, size)]
    return slices


def _one_by_one(
    run_once: Run,
    feeds: Mapping[str, NDArray[Any]],
    plan: Plan,
    names: list[str],
    total: int,
    progress: Callable[[int, int], None] | None,
) -> Joined:
    """One sample a run; inputs that have a batch axis get a batch of one."""
    rows: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    for index in range(total):
        got = run_once(
            {
                # A copy: what lies in a file cannot be written to, and some runtimes warn of that.
                name: np.array(
                    feed[index : index + 1] if _batched(name, feeds, plan) else feed[index]
                )
                for name, feed in feeds.items()
            }
        )
        check_names(got, names)
        for name in names:
            rows[name].append(got[name])
        if progress is not None:
            progress(index + 1, total)
    return Joined({name: stacked(name, parts) for name, parts in rows.items()}, {1})


def stacked(name: str, parts: list[NDArray[Any]]) -> NDArray[Any]:
    """An output of several runs as one array, [runs, ...].

    Raises:
        StepError: Its shape differs from run to run.
    """
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        raise StepError(
            f"output `{name}` has another shape for each sample: "
            f"{', '.join(str(list(s)) for s in sorted(shapes)[:4])}",
            "outputs whose size depends on the values cannot be compared: return a fixed number",
            "outputs",
        )
    return np.stack(parts)


def check_names(got: Mapping[str, NDArray[Any]], names: list[str]) -> None:
    """Refuses outputs that are not the recipe's, no more and no less.

    Raises:
        StepError: They are not.
    """
    if set(got) == set(names):
        return
    missing = [f"`{name}`" for name in names if name not in got]
    given = ", ".join(f"`{name}`" for name in got) or "nothing"
    what = (
        f"lacks {', '.join(missing)}" if missing else f"gives more than the recipe's {len(names)}"
    )
    raise StepError(f"the artifact {what}; its outputs are {given}", field="outputs")


def _axis(
    name: str, results: list[dict[str, NDArray[Any]]], slices: list[tuple[int, int]]
) -> int | None:
    """The batch axis of an output: the one whose size is the batch's in every run."""
    shapes = [got[name].shape for got in results]
    sizes = [size for _, size in slices]
    same_rank = len({len(shape) for shape in shapes}) == 1
    for axis in range(len(shapes[0])) if same_rank else ():
        if all(shape[axis] == size for shape, size in zip(shapes, sizes, strict=True)):
            return axis
    if set(sizes) == {1}:
        return None  # A model with a batch of one may leave it out of its outputs.
    raise StepError(
        f"output `{name}` has no batch axis: its shape is {list(shapes[-1])} for a batch of {sizes[-1]}",
        "give the batch a fixed size of 1 in `inputs`, or return one row a sample",
        "outputs",
    )


def _leading(array: NDArray[Any], axis: int | None) -> NDArray[Any]:
    return array[np.newaxis] if axis is None else np.moveaxis(array, axis, 0)
