"""Draws samples: rows of a dataset, or random numbers; a built-in step."""

from __future__ import annotations

import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.arrays import Arrays
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.verify.outputs.array_sizes import array_bytes

PRELOAD = {"draw": ("numpy.random",)}


def draw(request: Request) -> None:
    """Writes `samples`: input name to [n, ...] in the port's dtype, and labels where asked for.

    Inputs: `source`, an `.npz` or `.npy`; none for random samples.
    Options: `ports`; either `random` (`normal` or `uniform`), `count` and `seed`; or `arrays`
    (input name to the name in the file), `labels` (a name, several, or `null`), `limit`, `count` and
    `seed` (`null`: the first rows).

    Raises:
        StepError: The file does not hold what the recipe says, or its shapes do not fit the ports.
    """
    options = request.options
    if "random" in options:
        arrays.save(request.outputs["samples"], random_samples(options))
        return
    rows = _read(request)
    drawn: Arrays = {}
    names = options["arrays"]
    for port in options["ports"]:
        name = names.get(port["name"], port["name"])
        drawn[port["name"]] = fitted(
            _named(rows, name, f"the input `{port['name']}`", "inputs"), port
        )
    if options["role"] in ("evaluation", "training"):
        # A folder of images and a function bring labels of their own; a recipe may name an array.
        named = options["labels"]
        if isinstance(named, list):
            several = {name: _named(rows, name, "the labels", "labels") for name in named}
            drawn = arrays.with_labels(drawn, several)
        elif named is not None:
            drawn = arrays.with_labels(drawn, _named(rows, named, "the labels", "labels"))
        else:
            drawn |= {name: array for name, array in rows.items() if arrays.is_labels(name)}
    arrays.save(request.outputs["samples"], _take(drawn, options))


def _read(request: Request) -> Arrays:
    try:
        return _arrays(request)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        message = "the dataset is not a whole .npz or .npy file of plain arrays"
        raise StepError(message, f"numpy says: {error}", "source") from error


def _arrays(request: Request) -> Arrays:
    needed = array_bytes(request.inputs["source"])
    if request.memory is not None and needed > request.memory:
        raise StepError(
            f"the arrays of the dataset take {needed / 2**30:.1f} GiB of memory, "
            f"of which there are {request.memory / 2**30:.1f} GiB",
            "store fewer rows, or raise `--memory`",
            "source",
        )
    with request.inputs["source"].open("rb") as stream:
        loaded: Any = np.load(stream, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            with loaded as archive:
                return {name: archive[name] for name in archive.files}
    names = request.options["arrays"]
    wanted = [names.get(port["name"], port["name"]) for port in request.options["ports"]]
    return dict.fromkeys(wanted, loaded)


def _named(rows: Arrays, name: str, what: str, field: str) -> NDArray[np.generic]:
    if name in rows and (rows[name].ndim == 0 or rows[name].dtype.kind not in "biuf"):
        kind = "no rows" if rows[name].ndim == 0 else f"elements of type {rows[name].dtype}"
        raise StepError(f"the array `{name}` of the dataset has {kind}, not rows of numbers")
    if name not in rows:
        known = ", ".join(sorted(rows)) or "no arrays"
        message = f"the dataset has no array `{name}` for {what}"
        raise StepError(message, f"it holds {known}", field)
    return rows[name]


def fitted(rows: NDArray[np.generic], port: dict[str, Any]) -> NDArray[np.generic]:
    """The rows in the port's dtype.

    Args:
        rows: [n, ...].
        port: Its first axis is the batch where it has as many axes as `rows`; with one axis less
            it has no batch axis.

    Raises:
        StepError: Sizes do not fit, or a value does not survive the change of dtype.
    """
    shape: list[int | str] = port["shape"]
    wanted = shape[1:] if rows.ndim == len(shape) else shape
    fits = rows.ndim == len(wanted) + 1 and all(
        _size_fits(size, given, port["dims"])
        for size, given in zip(wanted, rows.shape[1:], strict=True)
    )
    if not fits:
        raise StepError(
            f"rows of shape {list(rows.shape[1:])} do not fit the input `{port['name']}` "
            f"of shape {shape}",
            "each row is one sample: its shape must be the input's without the batch axis",
            "inputs",
        )
    converted = rows.astype(port["dtype"])
    exact = np.issubdtype(rows.dtype, np.floating) and np.issubdtype(converted.dtype, np.floating)
    if not exact and not np.array_equal(converted, rows):
        raise StepError(
            f"values of `{port['name']}` change when they are turned from {rows.dtype} "
            f"into {port['dtype']}",
            "store them in the input's own dtype",
            "inputs",
        )
    return converted


def _size_fits(size: int | str, given: int, dims: dict[str, Any]) -> bool:
    if isinstance(size, str):
        return bool(dims[size]["min"] <= given <= dims[size]["max"])
    return size == given


def _take(drawn: Arrays, options: dict[str, Any]) -> Arrays:
    total = {len(rows) for rows in drawn.values()}
    if len(total) != 1:
        sizes = ", ".join(f"{name}: {len(rows)}" for name, rows in drawn.items())
        raise StepError(f"the arrays of the dataset differ in length ({sizes})", field="source")
    available = total.pop()
    if options["limit"] is not None:
        available = min(available, options["limit"])
    count = options["count"] if options["count"] is not None else available
    if count > available:
        raise StepError(
            f"{count} samples are asked for, the dataset has {available}",
            f"lower `count` to {available}, or add data",
            "count",
        )
    chosen = np.arange(count)
    if options["seed"] is not None:
        chosen = np.sort(np.random.default_rng(options["seed"]).permutation(available)[:count])
    return {name: rows[chosen] for name, rows in drawn.items()}


def random_samples(options: dict[str, Any]) -> Arrays:
    """Random inputs of the ports' example sizes, one row a sample."""
    generator = np.random.default_rng(options["seed"])
    drawn: Arrays = {}
    for port in options["ports"]:
        shape, dims = port["shape"], port["dims"]
        sizes = [dims[s]["example"] if isinstance(s, str) else s for s in shape]
        # With a batch axis a row is one element of it, whatever the example's batch is. An input
        # without axes has none: each sample is a number.
        batched = bool(shape) and (isinstance(shape[0], str) or shape[0] == 1)
        sizes = [options["count"], *(sizes[1:] if batched else sizes)]
        drawn[port["name"]] = _random(generator, port, sizes, options["random"])
    return drawn


def _random(
    generator: np.random.Generator, port: dict[str, Any], sizes: list[int], kind: str
) -> NDArray[np.generic]:
    dtype = np.dtype(port["dtype"])
    low, high = port["range"] or (0, 1)
    if dtype.kind in "biu":
        return generator.integers(low, high, sizes, endpoint=True).astype(dtype)
    if kind == "normal":
        return generator.standard_normal(sizes).astype(dtype)
    return generator.uniform(low, high, sizes).astype(dtype)
