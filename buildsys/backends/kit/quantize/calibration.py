"""Calibration data: checked, and cut into what one run of a model takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol import arrays
from ..protocol.contract import Contract
from ..protocol.ports import to_artifact
from ..protocol.request import StepError
from ..run import batches

Feed = dict[str, NDArray[Any]]

FIELD = "quantization.calibration"


def feeds(path: Path, contract: Contract, ports: list[dict[str, Any]], dynamic: bool) -> list[Feed]:
    """Reads calibration data as feeds of a model, under its own names.

    Arrays are `[n, ...]`: cut along the batch axis at the example's size, the last cut filled up by
    repeating; where an input has no batch axis, each row is one run. Every row is in some feed.

    Args:
        path: `.npz`, input name to `[n, ...]`.
        contract: Sizes and names as the artifact has them.
        ports: The request's ports.
        dynamic: Whether the artifact keeps dynamic sizes.

    Raises:
        StepError: An input is missing, has another shape, a value that is not finite or is beyond the
            input's `range`, or they are not equally many.
    """
    data = arrays.load(path)
    missing = [port.name for port in contract.inputs if port.name not in data]
    if missing:
        raise StepError(
            f"the calibration data has no {', '.join(f'`{name}`' for name in missing)}; it has "
            + (", ".join(f"`{n}`" for n in sorted(data) if not arrays.is_labels(n)) or "nothing"),
            "name every input of the model in the dataset's `inputs`",
            FIELD,
        )
    plan = batches.plan(ports, contract, dynamic=dynamic)
    counts = {port.name: len(data[port.name]) for port in contract.inputs}
    if len(set(counts.values())) != 1 or not all(counts.values()):
        told = ", ".join(f"`{name}` has {n}" for name, n in counts.items())
        raise StepError(f"the calibration data is not equally long: {told}", field=FIELD)
    ranges = {port["name"]: port["range"] for port in ports}
    for port in contract.inputs:
        _check_shape(port.name, data[port.name], plan.shapes[port.name])
        _check_values(port.name, data[port.name], ranges.get(port.name))
    total = next(iter(counts.values()))
    batched = {p.name: data[p.name].ndim == len(plan.shapes[p.name]) for p in contract.inputs}
    size = plan.first if all(batched.values()) else 1
    found = []
    for start in range(0, total, size):
        rows = np.minimum(np.arange(start, start + size), total - 1)
        found.append(
            {
                port.artifact_name or port.name: to_artifact(
                    port,
                    data[port.name][rows] if batched[port.name] else data[port.name][start],
                )
                for port in contract.inputs
            }
        )
    return found


def _check_shape(name: str, array: NDArray[Any], shape: list[int | str]) -> None:
    wanted = shape[1:] if array.ndim == len(shape) else shape
    given = list(array.shape[1:])
    if len(wanted) != len(given) or any(
        isinstance(size, int) and size != have for size, have in zip(wanted, given, strict=True)
    ):
        raise StepError(
            f"the calibration data of `{name}` has the shape {list(array.shape)}; the model takes "
            f"{shape}, so [n, {', '.join(map(str, wanted))}] was expected",
            field=FIELD,
        )


def _check_values(name: str, array: NDArray[Any], limits: list[float] | None) -> None:
    """A NaN makes every range of the model NaN, and a value that the model never sees widens them."""
    wrong = ~np.isfinite(array)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise StepError(
            f"the calibration data of `{name}` has {int(wrong.sum())} values that are not finite, the "
            f"first in row {row}",
            "take such rows out of the dataset: a range that is taken from them means nothing",
            FIELD,
        )
    if limits is None:
        return
    least, most = limits
    beyond = (array < least) | (array > most)
    if beyond.any():
        row = int(np.argwhere(beyond)[0][0])
        raise StepError(
            f"the calibration data of `{name}` goes from {array.min():g} to {array.max():g}, beyond its "
            f"range [{least:g}, {most:g}]; the first such row is {row}",
            "give data as the model will see it, or correct the input's `range`",
            FIELD,
        )
