"""What a report's entries look like, for those who read a file that people may have edited.

Only what commands read is named. Other fields, and those that later versions add, may be anything. A
field that has a default here is not in the reports of every version, or not in a bundle's manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from buildsys.bounds import OUTPUT_BOUNDS
from buildsys.engine.outcome.verdicts import Status

LARGEST = 2**63 - 1
"""JSON's integers may have thousands of digits, which formatting refuses."""
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Whole = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]


class Part(BaseModel):
    """An object of a report. Nothing is converted: `"1"` is not a number."""

    model_config = ConfigDict(extra="allow", strict=True)


class Port(Part):
    """One input or output; see `kit.protocol.contract.Port`."""

    name: str
    shape: list[Whole | str]
    dtype: str
    permutation: list[Whole] | None = None
    artifact_name: str | None = None
    kind: str | None = None
    preprocess: dict[str, Any] | None = None


class Contract(Part):
    """`io`."""

    inputs: list[Port]
    outputs: list[Port]


class Bound(Part):
    """One of `gates`; see `verify.gate.Gate.to_json`."""

    bound: str
    output: str | None
    limit: float
    value: float | None
    passed: bool = Field(alias="pass")
    reason: str | None = None
    at: dict[str, Whole] | None = None
    case: str | None = None
    worst_sample: Whole | None = None


class Histogram(Part):
    """How an output's samples are spread over errors."""

    exact: Count
    edges: list[float]
    counts: list[Count]


def _figures() -> dict[str, Any]:
    """A figure for each bound of outputs; only the one that all reports have must be there."""
    return {name: (float | None, ... if name == "signal_error" else None) for name in OUTPUT_BOUNDS}


OfOutput: TypeAlias = Part
if not TYPE_CHECKING:
    OfOutput = create_model("OfOutput", __base__=Part, **_figures())


class Errors(OfOutput):
    """One of a measurement's `outputs`."""

    histogram: Histogram | None = None


class Latency(Part):
    """A measurement's `latency_ms`; the interval is not in reports of every version."""

    p50: float
    p95: float
    low: float = 0.0
    high: float = 0.0


class Metric(Part):
    """A measurement's `metric`; a figure that is not finite is `null`."""

    name: str
    value: float | None
    reference: float | None
    transformed: float | None = None
    count: Count | None = None


class Weights(Part):
    """A measurement's `weights`; see `verify.wording.summary`."""

    compared: Count
    exact: Count
    rounded: Count
    quantized: Count
    rearranged: Count
    folded: Count
    traced: float = 0.0


class Measurement(Part):
    """`measurement`."""

    outputs: dict[str, Errors]
    latency_ms: Latency | None = None
    metric: Metric | None = None
    weights: Weights | None = None
    peak_rss_bytes: Count | None = None


class Percentiles(Part):
    """A benchmark's `latency_ms`."""

    p50: float
    p95: float
    p99: float


class Memory(Part):
    """A benchmark's `memory_bytes`."""

    before: Count
    peak: Count


class Ratio(Part):
    """A benchmark's `against_float`."""

    ratio: float
    low: float
    high: float


class ColdStart(Part):
    """A benchmark's `cold_start_ms`."""

    total: float


class Settings(Part):
    """What a benchmark was taken with."""

    threads: Count
    batch: Count
    runs: Count
    starts: Count


class Benchmark(Part):
    """`benchmark`."""

    latency_ms: Percentiles
    memory_bytes: Memory
    against_float: Ratio | None
    throughput: float
    cold_start_ms: ColdStart
    settings: Settings
    machine: str


class Calibration(Part):
    """`calibration`."""

    method: str
    tensors: Count
    runs: Count
    ranges: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]


class Candidate(Part):
    """One of a search's `candidates`."""

    name: str
    status: str
    bytes: Count | None = None
    error: float | None = None
    metric: float | None = None
    latency_ratio: float | None = None
    reason: str | None = None


class Search(Part):
    """`search`."""

    profile: str
    candidates: list[Candidate]
    float_bytes: Count | None = None


class Entry(Part):
    """One of `deployables` of a report, or of `artifacts` of a bundle's manifest."""

    label: str
    status: Literal[tuple(str(status) for status in Status)]  # type: ignore[valid-type]
    bytes: Count | None
    size_ratio: float | None
    reason: str | None
    notes: list[str]
    gates: list[Bound]
    measurement: Measurement | None
    io: Contract | None
    digest: str | None = None
    inputs_not_known: list[str] = []
    log: str | None = None
    calibration: Calibration | None = None
    benchmark: Benchmark | None = None
    search: Search | None = None


class Report(Part):
    """`report.json`."""

    version: Literal[1]
    project: str
    deployables: list[Entry]


def misshapen(kind: type[Part], record: Any) -> str | None:
    """What first makes a record none of its kind: field and fault in words; `None` where nothing does."""
    try:
        kind.model_validate(record)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False)[0]
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in fault["loc"])
        message = fault["msg"][:1].lower() + fault["msg"][1:]
        if fault["type"] == "missing":
            message = "it is missing"
        elif fault["type"] == "model_type":  # Which speaks of our classes.
            message = "input should be an object"
        return f"`{path.removeprefix('.')}`: {message}" if path else message
    return None
