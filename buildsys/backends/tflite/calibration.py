"""Calibration data, cut into what one run of a TFLite file takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit import arrays, ports
from ..kit.contract import Contract, Port
from ..kit.request import StepError

Feed = dict[str, NDArray[Any]]

FIELD = "quantization.calibration"


def feeds(path: Path, contract: Contract) -> list[Feed]:
    """Reads calibration data as feeds of a file, under its own names.

    Each array is `[n, ...]`. Where its rank is the input's, axis 0 is the batch axis and is cut at
    the file's batch size, the last cut filled up by repeating; where it is one more, each row is
    one run.

    Raises:
        StepError: An input is missing, has another shape, or they are not equally many.
    """
    data = arrays.load(path)
    missing = [port.name for port in contract.inputs if port.name not in data]
    if missing:
        raise StepError(
            f"the calibration data has no {', '.join(f'`{name}`' for name in missing)}; it has "
            + (", ".join(f"`{n}`" for n in sorted(data) if n != arrays.LABELS) or "nothing"),
            hint="name every input of the model in the dataset's `inputs`",
            field=FIELD,
        )
    columns = [_runs(port, data[port.name]) for port in contract.inputs]
    counts = {port.name: len(runs) for port, runs in zip(contract.inputs, columns, strict=True)}
    if len(set(counts.values())) != 1 or not columns[0]:
        told = ", ".join(f"`{name}` for {n} runs" for name, n in counts.items())
        raise StepError(f"the calibration data is not equally long: {told}", field=FIELD)
    names = [port.artifact_name or port.name for port in contract.inputs]
    return [dict(zip(names, runs, strict=True)) for runs in zip(*columns, strict=True)]


def _runs(port: Port, array: NDArray[Any]) -> list[NDArray[Any]]:
    shape = [int(size) for size in ports.model_shape(port)]
    if shape and array.ndim == len(shape) and list(array.shape[1:]) == shape[1:]:
        rows = range(0, len(array), shape[0])
        cuts = [np.take(array, range(row, row + shape[0]), axis=0, mode="clip") for row in rows]
    elif array.ndim == len(shape) + 1 and list(array.shape[1:]) == shape:
        cuts = list(array)
    else:
        raise StepError(
            f"the calibration data of `{port.name}` has the shape {list(array.shape)}; the file "
            f"takes {shape}, so [n, {', '.join(map(str, shape[1:]))}] was expected",
            field=FIELD,
        )
    return [ports.to_artifact(port, cut) for cut in cuts]
