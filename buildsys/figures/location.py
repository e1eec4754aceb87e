"""Where a deployable goes wrong, as `location.json` and `verify --locate --json` have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from buildsys.figures.json_form import optional


@dataclass(frozen=True)
class Operation:
    """An operation of the artifact, with the names of its tensors and weights."""

    number: int
    type: str
    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A line of the model's own code."""

    file: str
    line: int | None
    text: str | None


@dataclass(frozen=True)
class Overflow:
    """Values that a number format cannot hold.

    Attributes:
        largest: The largest that is needed.
        limit: The largest that there is.
        strays: How many values are not finite.
    """

    largest: float
    limit: float
    strays: int


@dataclass(frozen=True)
class OutputErrors:
    """The error of an output, run operation by operation and as it is shipped; `null` if not finite."""

    error: float | None
    shipped: float | None


@dataclass(frozen=True)
class TableRow:
    """An operation of the artifact beside the original's.

    Attributes:
        number: Its place.
        artifact_op: Its type.
        name: Its name.
        reference_op: The original's operator that computes the same.
        module: The module that this one is in.
        error: The error of its result; `null` where the original computes nothing like it.
        finite: Whether its result is.
        largest: The largest value of its result.
        explained: Whether the original computes the same.
    """

    number: int
    artifact_op: str
    name: str
    reference_op: str | None
    module: str | None
    error: float | None
    finite: bool
    largest: float | None
    explained: bool


@dataclass(frozen=True)
class Location:
    """The first operation that differs from the original.

    Attributes:
        label: The deployable's.
        format: Its format.
        scheme: Its quantization scheme.
        found: Whether something differs.
        kind: `healthy`, `op`, `input`, `overflow`, `output-order` or `runtime`.
        in_words: What is wrong, where no operation tells it.
        operation: The operation.
        module: The original's module that it is in.
        source: The line of the model that it comes from.
        reference_op: The original's operator that it stands for.
        error: The error of its result.
        before: The error of what it takes.
        gradual: Whether errors grow on the way and no single operation is wrong.
        overflow: What a number format cannot hold.
        cure: Fields of a profile that keep the place as it is.
        explanation: What happens, where the defect is known.
        tolerance: The bound on outputs.
        outputs: Errors by output.
        largest_step: Where the error grows most.
        runtime: What ran the artifact.
        reference_runtime: What ran the original.
        notes: What either noted.
        table: All operations.
        defect: The name of a known defect.
        way_out: What to do about it.
    """

    label: str
    format: str
    scheme: str | None
    found: bool
    kind: str
    in_words: str | None
    operation: Operation | None
    module: str | None
    source: Source | None
    reference_op: str | None
    error: float | None
    before: float | None
    gradual: bool
    overflow: Overflow | None
    cure: Mapping[str, tuple[str, ...]] | None
    explanation: str | None
    tolerance: float
    outputs: Mapping[str, OutputErrors]
    largest_step: TableRow | None
    runtime: str
    reference_runtime: str
    notes: tuple[str, ...]
    table: tuple[TableRow, ...]
    defect: str | None = optional()
    way_out: str | None = optional()


@dataclass(frozen=True)
class JudgedLocation(Location):
    """The same with what the deployable's bounds say.

    Attributes:
        passes: Whether all hold; `null` where nothing judges it.
        rejected: Why it does not pass.
    """

    passes: bool | None = None
    rejected: str | None = None
