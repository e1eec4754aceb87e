"""What the recipe says of a model that no graph holds: preprocessing and names of classes."""

from __future__ import annotations

from pathlib import Path

from .contract import Contract, Port
from .request import Request, StepError

KEY = "modelbuild.io"
"""The name under which artifacts carry the contract."""


def describe(request: Request) -> None:
    """Completes the contract of an artifact that has no place for it; a step of the coordinator.

    Inputs: `io`, and the files of labels. Options: see `described`. Outputs: `io`.

    Raises:
        StepError: As `described`.
    """
    described(request).write(request.outputs["io"])


def described(request: Request) -> Contract:
    """The contract of `request.inputs["io"]` with what the recipe says.

    Options: `preprocess` (input name to the recipe's words) and `labels` (output name to a list, or to
    the name of the input that is a file with one name a line); either may be missing.

    Raises:
        StepError: There are more or fewer labels than the output's last axis has elements, or the file
            of labels cannot be read.
    """
    return completed(Contract.read(request.inputs["io"]), request)


def completed(contract: Contract, request: Request) -> Contract:
    """A contract with what the request's options tell; see `described`."""
    for port in contract.inputs:
        words = request.options.get("preprocess", {}).get(port.name)
        if words is not None:
            # Written out for readers: nothing is subtracted, divided by one.
            port.preprocess = {
                **words,
                "mean": words.get("mean") or [0.0],
                "std": words.get("std") or [1.0],
            }
    for port in contract.outputs:
        names = request.options.get("labels", {}).get(port.name)
        if names is not None:
            field = f"outputs.{port.name}.labels"
            if isinstance(names, str):
                names = _lines(request.inputs[names], field)
            _check_count(port, names, field)
            port.labels = list(names)
    return contract


def check_read_back(found: str | None, contract: Contract, where: str) -> None:
    """Compares what was read from a finished artifact with what was written.

    Raises:
        StepError: It is missing or differs.
    """
    if found != contract.text():
        what = "nothing" if found is None else "something else"
        raise StepError(f"the io contract was written into {where}, and {what} is read back")


def _lines(path: Path, field: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise StepError(f"the file of labels is not UTF-8: {error}", None, field) from error
    # Not `splitlines`: a name may hold a form feed or another separator that Unicode has.
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise StepError(
                f"line {number} of the file of labels is empty",
                "write one name a line; a class without a name needs a word, too",
                field,
            )
    return lines


def _check_count(port: Port, names: list[str], field: str) -> None:
    shape = port.shape
    if port.permutation is not None:
        shape = [port.shape[axis] for axis in _inverse(port.permutation)]
    if not shape:
        raise StepError(
            f"output `{port.name}` is one number, and {len(names)} labels are given", None, field
        )
    size = shape[-1]
    if isinstance(size, int) and size != len(names):
        raise StepError(
            f"{len(names)} labels are given for output `{port.name}`, whose last axis has {size}",
            "name every class, in the order of the axis",
            field,
        )


def _inverse(permutation: list[int]) -> list[int]:
    return [permutation.index(axis) for axis in range(len(permutation))]
