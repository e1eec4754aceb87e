"""Calibration data, cut into what one run of a model takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit import arrays, batches
from ..kit.contract import Contract
from ..kit.ports import to_artifact
from ..kit.request import StepError

Feed = dict[str, NDArray[Any]]

FIELD = "quantization.calibration"


def feeds(path: Path, contract: Contract, ports: list[dict[str, Any]]) -> list[Feed]:
    """Reads calibration data as feeds of a model, under its own names.

    Arrays are `[n, ...]`: cut along the batch axis at the example's size, the last cut filled up by
    repeating; where an input has no batch axis, each row is one run.

    Raises:
        StepError: An input is missing, has another shape, or they are not equally many.
    """
    data = arrays.load(path)
    missing = [port.name for port in contract.inputs if port.name not in data]
    if missing:
        raise StepError(
            f"the calibration data has no {', '.join(f'`{name}`' for name in missing)}; it has "
            + (", ".join(f"`{n}`" for n in sorted(data) if n != arrays.LABELS) or "nothing"),
            "name every input of the model in the dataset's `inputs`",
            FIELD,
        )
    plan = batches.plan(ports, contract, dynamic=True)
    counts = {port.name: len(data[port.name]) for port in contract.inputs}
    if len(set(counts.values())) != 1 or not all(counts.values()):
        told = ", ".join(f"`{name}` has {n}" for name, n in counts.items())
        raise StepError(f"the calibration data is not equally long: {told}", field=FIELD)
    for port in contract.inputs:
        _check_shape(port.name, data[port.name], plan.shapes[port.name])
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
            f"{shape}, so [n, {', '.join(map(str, shape[1:]))}] was expected",
            field=FIELD,
        )
