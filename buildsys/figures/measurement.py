"""The figures of one artifact against the original, as `measurement.json` has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from buildsys.bounds import OUTPUT_BOUNDS
from buildsys.figures.floor import Cost, Floor
from buildsys.figures.json_form import Beside, optional, read
from buildsys.figures.weights import Weights

ERRORS = tuple(name for name in OUTPUT_BOUNDS if name != "floor_ratio")
"""The error figures of an output; `floor_ratio` is computed of one of them where it is judged."""


@dataclass(frozen=True)
class OutputFigures:
    """The comparison of one output with the original's; `null` figures could not be computed.

    Attributes:
        errors: The figure of each bound on outputs.
        nan_count: NaNs in the artifact's output.
        inf_count: Infinities in the artifact's output.
        nonfinite_mismatch: Elements where one side is not finite and the other is not the same.
        shape_match: Whether the shapes are equal; all error figures are `null` where they are not.
        dtype_match: Whether both are floating, both whole numbers, or both booleans.
        shape: The artifact's, with the sample axis.
        reference_shape: The original model's.
        dtype: The artifact's, numpy's name.
        reference_dtype: The original model's.
    """

    errors: Annotated[Mapping[str, float | None], Beside(ERRORS)]
    nan_count: int
    inf_count: int
    nonfinite_mismatch: int
    shape_match: bool
    dtype_match: bool
    shape: tuple[int, ...] = ()
    reference_shape: tuple[int, ...] = ()
    dtype: str = ""
    reference_dtype: str = ""

    @property
    def signal_error(self) -> float | None:
        """The norm of the error, relative to how much the reference varies."""
        return self.errors["signal_error"]

    @property
    def floating(self) -> bool:
        """Whether the original gives floating numbers."""
        return self.reference_dtype.startswith("float")


@dataclass(frozen=True)
class WorstSample:
    """The sample with the greatest error.

    Attributes:
        sample: Its number, counted from 0.
        signal_error: Its error; `null` where it is not finite.
    """

    sample: int
    signal_error: float | None


@dataclass(frozen=True)
class Quantiles:
    """How the errors of single samples are spread.

    Attributes:
        p50: The median.
        p95: The 95th percentile.
        max: The greatest.
        upper: The `signal_error` of the worse half of the samples.
    """

    p50: float
    p95: float
    max: float
    upper: float


@dataclass(frozen=True)
class Histogram:
    """How many samples err by how much.

    Attributes:
        edges: Powers of ten, one more than `counts`.
        counts: Samples between two edges.
        exact: Samples without any error.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    exact: int


@dataclass(frozen=True)
class SampleFigures(OutputFigures):
    """The comparison of one output over the samples.

    Attributes:
        worst: The sample with the greatest error; `null` where the shapes differ.
        quantiles: How the errors are spread; `null` where one is not finite.
        histogram: The same as counts.
        parts: By axis, the errors of small parts; `null` of parts that are not small.
    """

    worst: WorstSample | None = None
    quantiles: Quantiles | None = None
    histogram: Histogram | None = None
    parts: Mapping[str, tuple[float | None, ...]] | None = optional()


@dataclass(frozen=True)
class AtSizes:
    """The comparison at the smallest or the largest sizes of dynamic dimensions.

    Attributes:
        at: Size by symbol.
        outputs: Figures by output.
    """

    at: Mapping[str, int]
    outputs: Mapping[str, OutputFigures]


@dataclass(frozen=True)
class AtEdge:
    """The comparison on zeros or on extreme values.

    Attributes:
        case: Which values the inputs hold.
        outputs: Figures by output.
        steady: By output, whether its inputs decide it, and not rounding.
    """

    case: str
    outputs: Mapping[str, OutputFigures]
    steady: Mapping[str, bool]


@dataclass(frozen=True)
class Error:
    """One error.

    Attributes:
        signal_error: The error; `null` where it is not finite.
    """

    signal_error: float | None


@dataclass(frozen=True)
class EdgeErrors:
    """Errors on zeros or on extreme values.

    Attributes:
        case: Which values the inputs hold.
        outputs: Error by output.
    """

    case: str
    outputs: Mapping[str, Error]


@dataclass(frozen=True)
class GraphErrors:
    """The error of the graph alone: the original was given the artifact's own rounded weights.

    Attributes:
        reason: Why there are no such figures; `null` where there are.
        outputs: Error by output.
        cost: By output, what the rounded weights cost the original.
        edges: Errors on zeros and on extreme values.
        numbers: Single numbers that are rounded as well.
        unrounded: Error by output of a run that rounds nothing but the weights.
    """

    reason: str | None = optional()
    outputs: Mapping[str, Error] | None = optional()
    cost: Mapping[str, Error] | None = optional()
    edges: tuple[EdgeErrors, ...] | None = optional()
    numbers: tuple[str, ...] | None = optional()
    unrounded: Mapping[str, Error] | None = optional()


@dataclass(frozen=True)
class PlainErrors:
    """Errors of the first samples.

    Attributes:
        signal_error: Without fast kernels.
        shipped: With them.
    """

    signal_error: float | None
    shipped: float | None


@dataclass(frozen=True)
class PlainRun:
    """A run without the runtime's fast kernels.

    Attributes:
        without: What was left out, in words.
        outputs: Errors by output.
    """

    without: str
    outputs: Mapping[str, PlainErrors]


@dataclass(frozen=True)
class Metric:
    """The task's metric, over the same rows for both; `null` figures are not finite.

    Attributes:
        name: The metric.
        value: Of the artifact.
        reference: Of the original.
        count: How many rows.
        drop: By how much the artifact is worse.
        low: The least that the drop may be, in 95 of 100 cases.
        high: The most that it may be.
        method: How that interval was found.
        distinguishable: Whether the interval leaves out zero.
        transformed: Of the model after its transforms.
        record: The record as it was read.
    """

    name: str
    value: float | None
    reference: float | None
    count: int = 0
    drop: float = 0.0
    low: float | None = optional()
    high: float | None = optional()
    method: str | None = optional()
    distinguishable: bool | None = optional()
    transformed: float | None = optional()
    record: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The record as the step wrote it."""
        return dict(self.record)


@dataclass(frozen=True)
class Latency:
    """Times in milliseconds.

    Attributes:
        p50: The median.
        p95: The 95th percentile.
        low: The least that the median of the rounds may be, in 95 of 100 cases.
        high: The most that it may be.
        runs: How many runs.
    """

    p50: float
    p95: float
    low: float = 0.0
    high: float = 0.0
    runs: int = 0


@dataclass(frozen=True)
class Measurement:
    """The figures of one artifact against the original.

    Attributes:
        outputs: Figures by output, over the samples.
        extremes: The same at the smallest and the largest sizes.
        edges: The same on zeros and on extreme values.
        weights: What comparing the weights gave.
        graph: The error of the graph alone.
        plain: A run without the runtime's fast kernels.
        metric: The task's metric; `null` where the model has no `evaluate`.
        samples: How many samples.
        runtime: What ran the artifact, with its version.
        evaluated: Whether an evaluator of this project ran it, whose time and memory mean nothing.
        latency_ms: Time of one run.
        peak_rss_bytes: Peak resident memory.
        threads: How many threads it ran with.
        machine: The processor.
        batch_sizes: The sizes of the batches that it was run with.
        floor: What the model's own precision costs it.
        record: The record as it was read.
    """

    outputs: Mapping[str, SampleFigures]
    metric: Metric | None = None
    samples: int = 0
    extremes: tuple[AtSizes, ...] = optional(())
    edges: tuple[AtEdge, ...] = optional(())
    weights: Weights | None = optional()
    graph: GraphErrors | None = optional()
    plain: PlainRun | None = optional()
    floor: Floor | None = optional()
    runtime: str = ""
    evaluated: bool = optional(False)
    latency_ms: Latency | None = None
    peak_rss_bytes: int | None = None
    threads: int = 0
    machine: str = ""
    batch_sizes: tuple[int, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Measurement:
        """Reads a `measurement.json`."""
        return read(cls, record)

    def to_json(self) -> dict[str, Any]:
        """The record as the step wrote it."""
        return dict(self.record)

    def floors(self, precision: str | None) -> Mapping[str, Cost]:
        """What a precision costs the model, by output."""
        return self.floor.costs(precision) if self.floor is not None else {}
