"""The smallest and the largest declared sizes: the original runs at them, and artifacts after it.

A converter that fixes a size, or overflows at a large one, shows nothing at the example. So the
original is run with all dynamic sizes at their `min` together, and at their `max`; what it was fed
is kept, and every artifact with dynamic sizes is fed just that.

Inputs are the samples, cropped or repeated to the size, so that values stay those of the task. Where
the original refuses these (a length that must not exceed another input's size), random inputs are
tried. The largest size is halved until it fits a machine, the batch first, and that is said.

Arrays are named `SIZES/DRAW/INPUT`, and outputs `SIZES/OUTPUT` with the draws as axis 0, where SIZES
is `N=64,T=12`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol import ports as ports_of
from ..protocol.arrays import Arrays
from ..protocol.cause import first_lines
from ..protocol.contract import Contract
from ..protocol.ports import Sizes, model_shape
from ..protocol.request import Request, StepError
from .batches import Run, check_names, stacked

DRAWS = 2
"""Different inputs at each of the sizes: errors are taken relative to how much outputs vary."""
MOST_ELEMENTS = 2**21
"""Elements of all inputs together at the largest size: 13 pictures of 224 by 224."""
MOST_PAIRS = 2**24
"""Pairs of positions in a sequence, times the batch: attention holds a number for each."""
SEQUENCE_AXES = 3
"""Inputs of so many axes or fewer may be sequences: [batch, positions, features]."""
SEEDS = (1, 2, 3)
"""Of random inputs, where the samples cannot be brought to a size."""

Feed = dict[str, NDArray[Any]]
Feeds = Mapping[str, NDArray[Any]]
Ports = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Corner:
    """Sizes to run at.

    Attributes:
        sizes: Symbol to size, for all symbols that may vary.
        bound: `example`, `min` or `max`: where the recipe has the sizes from.
        capped: Whether a declared size was too large to be run.
    """

    sizes: Sizes
    bound: str
    capped: bool = False


def corners(ports: Ports) -> list[Corner]:
    """The example's, the smallest and the largest sizes, each once; none where nothing may vary."""
    dims = ports_of.symbols(ports)
    if not dims:
        return []
    least = {symbol: dim["min"] for symbol, dim in dims.items()}
    most = {symbol: dim["max"] for symbol, dim in dims.items()}
    capped = _capped(ports, dims, most)
    example = {symbol: dim["example"] for symbol, dim in dims.items()}
    found = {
        _label(corner.sizes): corner
        for corner in (
            Corner(example, "example"),
            Corner(least, "min"),
            Corner(capped, "max", capped != most),
        )
    }
    if _leading(ports).issuperset(dims):
        # Samples are run at the example's batch as it is; other sizes of theirs are the dataset's.
        found.pop(_label(example))
    return list(found.values())


def original(run: Run, samples: Feeds, request: Request, names: list[str]) -> tuple[Arrays, Arrays]:
    """Runs the original model at the extremes.

    Args:
        run: Runs it once.
        samples: Input name to [n, ...].
        request: Its options hold the ports; notes on what was too large go to it.
        names: The outputs.

    Returns:
        What it was fed, and what it gave.

    Raises:
        StepError: It does not run at a declared size; the dim and the size are named.
    """
    ports: Ports = request.options["ports"]
    fed: Arrays = {}
    given: Arrays = {}
    for corner in corners(ports):
        if corner.capped:
            _note_cap(ports, corner, request)
        try:
            feeds, outputs = _attempt(run, samples, ports, corner.sizes, names)
        except Exception as error:  # Whatever the user's code, or a runtime, raises is about sizes.
            if corner.capped:  # The size is a guess of ours, and not the recipe's.
                request.note(
                    f"the original model does not take {shown(corner.sizes)}: not run there"
                )
                continue
            raise _refusal(run, samples, ports, corner, names, error) from error
        label = _label(corner.sizes)
        for draw, feed in enumerate(feeds):
            fed |= {f"{label}/{draw}/{name}": array for name, array in feed.items()}
        given |= {f"{label}/{name}": array for name, array in outputs.items()}
    return fed, given


def artifact(
    run: Run, fed: Feeds, contract: Contract | None, request: Request, names: list[str]
) -> Arrays:
    """Runs an artifact on what the original was fed at the extremes.

    Sizes that the artifact fixes, as its contract says, are left out with a note.

    Raises:
        StepError: It does not run at a size that it should take.
    """
    given: Arrays = {}
    for label, feeds in _by_size(fed).items():
        sizes = sizes_of(label)
        fixed = _fixed(contract, feeds[0])
        if fixed:
            request.note(f"the artifact fixes {', '.join(fixed)}: it was not run at {shown(sizes)}")
            continue
        try:
            outputs = _run_all(run, feeds, names)
        except Exception as error:  # As a runtime raises it; the log keeps the whole trace.
            raise StepError(
                f"the artifact does not run at {shown(sizes)}, which `dims` allow: {first_lines(error)}",
                "a step on its way fixed a size: try another `route` or `capture`, or write the "
                "size as a number in the shape",
                _field(request.options["ports"], next(iter(sizes))),
            ) from error
        given |= {f"{label}/{name}": array for name, array in outputs.items()}
    return given


def sizes_of(label: str) -> Sizes:
    """The sizes in an array's name."""
    pairs = (part.partition("=") for part in label.split(","))
    return {symbol: int(size) for symbol, _, size in pairs}


def shown(sizes: Mapping[str, int]) -> str:
    """Sizes for people: `N = 64, T = 12`."""
    return ", ".join(f"{symbol} = {size}" for symbol, size in sizes.items())


def _label(sizes: Sizes) -> str:
    return ",".join(f"{symbol}={size}" for symbol, size in sizes.items())


def _by_size(fed: Feeds) -> dict[str, list[Feed]]:
    found: dict[str, dict[int, Feed]] = {}
    for key in fed:
        label, draw, name = key.split("/", 2)
        found.setdefault(label, {}).setdefault(int(draw), {})[name] = fed[key]
    return {label: [draws[n] for n in sorted(draws)] for label, draws in found.items()}


def _leading(ports: Ports) -> set[str]:
    """Symbols that are the first axis wherever they stand: batches."""
    first = {str(port["shape"][0]) for port in ports if port["shape"]}
    others = {size for port in ports for size in port["shape"][1:] if isinstance(size, str)}
    return first - others


def _capped(ports: Ports, dims: Mapping[str, Mapping[str, int]], sizes: Sizes) -> Sizes:
    """The largest sizes that fit: halved, since models that halve an axis take its half too."""
    found = dict(sizes)
    leading = _leading(ports)
    # What stands within a shape matters more than how many rows there are.
    for symbol in sorted(dims, key=lambda s: s not in leading):
        while not _fits(ports, found) and found[symbol] > dims[symbol]["example"]:
            found[symbol] = max(dims[symbol]["example"], found[symbol] // 2)
    return found


def _fits(ports: Ports, sizes: Sizes) -> bool:
    every = {**ports_of.example_sizes(ports), **sizes}
    elements = sum(math.prod(ports_of.concrete(port["shape"], every)) for port in ports)
    pairs = 0
    for port in ports:
        inner = [sizes[s] for s in port["shape"][1:] if s in sizes]
        if inner and len(port["shape"]) <= SEQUENCE_AXES:
            batch = sizes.get(port["shape"][0], 1)
            pairs = max(pairs, batch * math.prod(inner) * max(inner))
    return elements <= MOST_ELEMENTS and pairs <= MOST_PAIRS


def _note_cap(ports: Ports, corner: Corner, request: Request) -> None:
    dims = ports_of.symbols(ports)
    declared = {s: dims[s]["max"] for s, size in corner.sizes.items() if size != dims[s]["max"]}
    request.note(
        f"`dims` allow {shown(declared)}, which is much to run: the largest sizes that were "
        f"compared are {shown(corner.sizes)}"
    )


def _attempt(
    run: Run, samples: Feeds, ports: Ports, sizes: Sizes, names: list[str]
) -> tuple[list[Feed], Arrays]:
    """The first inputs that the model takes and answers with numbers; the first refusal otherwise."""
    refusal: Exception | None = None
    for feeds in _candidates(samples, ports, sizes):
        try:
            outputs = _run_all(run, feeds, names)
            _check_numbers(outputs)
        except Exception as error:  # As in `original`.
            refusal = refusal or error
        else:
            return feeds, outputs
    raise refusal or ValueError("no inputs")


def _candidates(samples: Feeds, ports: Ports, sizes: Sizes) -> Iterator[list[Feed]]:
    every = {**ports_of.example_sizes(ports), **sizes}
    yield [_fitted(samples, ports, every, draw) for draw in range(DRAWS)]
    for seed in SEEDS:
        yield [ports_of.random_feed(ports, every, seed * DRAWS + draw) for draw in range(DRAWS)]


def _fitted(samples: Feeds, ports: Ports, sizes: Sizes, draw: int) -> Feed:
    """Samples that are cropped, or repeated, to the sizes; other rows for another draw."""
    feed: Feed = {}
    for port in ports:
        shape = ports_of.concrete(port["shape"], sizes)
        rows: NDArray[Any] = samples[port["name"]]
        if rows.ndim == len(shape):
            first = draw * (shape[0] + 1)  # One more, lest a batch of all rows be the same again.
            rows, begin = rows.take(np.arange(first, first + shape[0]) % len(rows), axis=0), 1
        else:
            rows, begin = rows[draw % len(rows)], 0
        for axis, size in list(enumerate(shape))[begin:]:
            rows = rows.take(np.arange(size) % rows.shape[axis], axis=axis)
        feed[port["name"]] = np.asarray(rows, order="C")
    return feed


def _run_all(run: Run, feeds: Sequence[Feed], names: list[str]) -> Arrays:
    rows: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    for feed in feeds:
        got = run(feed)
        check_names(got, names)
        for name in names:
            rows[name].append(np.array(got[name]))
    return {name: stacked(name, parts) for name, parts in rows.items()}


def _check_numbers(outputs: Arrays) -> None:
    for name, array in outputs.items():
        bad = int(np.count_nonzero(np.isnan(array))) if array.dtype.kind == "f" else 0
        if bad:
            raise StepError(f"its output `{name}` holds {bad} NaN")


def _refusal(
    run: Run, samples: Feeds, ports: Ports, corner: Corner, names: list[str], error: Exception
) -> StepError:
    """Why the original does not run, naming the one dim that alone is enough to stop it."""
    dims = ports_of.symbols(ports)
    blamed = dict(corner.sizes)
    for symbol, size in corner.sizes.items():
        if size == dims[symbol]["example"]:
            continue
        try:
            _attempt(run, samples, ports, {symbol: size}, names)
        except Exception as alone:  # As in `original`.
            blamed, error = {symbol: size}, alone
            break
    symbol = next(iter(blamed))
    return StepError(
        f"the original model does not run at {shown(blamed)}, which `dims` allow: {first_lines(error)}",
        f"give `{symbol}` the sizes that the model takes",
        f"{_field(ports, symbol)}.{corner.bound}",
    )


def _field(ports: Ports, symbol: str) -> str:
    """The recipe field that says what a symbol may be."""
    port = next(port for port in ports if symbol in port["shape"])
    return f"inputs.{port['name']}.dims.{symbol}"


def _fixed(contract: Contract | None, feed: Feed) -> list[str]:
    """The sizes of inputs that the artifact has fixed otherwise, in words."""
    found = []
    for port in contract.inputs if contract else ():
        array = feed[port.name]
        shape = model_shape(port)
        if len(shape) != array.ndim or any(
            isinstance(size, int) and size != have
            for size, have in zip(shape, array.shape, strict=True)
        ):
            found.append(f"`{port.name}` at {shape}")
    return found
