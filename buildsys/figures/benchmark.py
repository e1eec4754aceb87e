"""How fast an artifact is, as `benchmark.json` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from buildsys.figures.json_form import read
from buildsys.figures.measurement import Latency


@dataclass(frozen=True)
class Percentiles(Latency):
    """Times in milliseconds.

    Attributes:
        p99: The 99th percentile.
    """

    p99: float = 0.0


@dataclass(frozen=True)
class AgainstFloat:
    """The median latency relative to the float artifact's, run in turns.

    Attributes:
        ratio: The median of the rounds.
        low: The least that it may be, in 95 of 100 cases.
        high: The most that it may be.
        rounds: How many rounds.
        latency_ms: The float artifact's own times.
    """

    ratio: float
    low: float
    high: float
    rounds: int
    latency_ms: Percentiles | None = None


@dataclass(frozen=True)
class ColdStart:
    """Times of fresh processes, in milliseconds.

    Attributes:
        load: Until the artifact is loaded, the median.
        first_run: Of the first run, the median.
        total: Of both, the median.
        most: Of both, the greatest.
        starts: How many processes.
    """

    load: float
    first_run: float
    total: float
    most: float
    starts: int


@dataclass(frozen=True)
class Memory:
    """Resident memory of fresh processes, in bytes.

    Attributes:
        before: Before the artifact is loaded.
        peak: The peak.
    """

    before: int
    peak: int


@dataclass(frozen=True)
class Settings:
    """How it was taken.

    Attributes:
        threads: How many threads.
        batch: How many samples one run takes.
        warmup: Runs that are not timed.
        runs: Rounds that are.
        starts: Fresh processes.
    """

    threads: int
    batch: int
    warmup: int
    runs: int
    starts: int


@dataclass(frozen=True)
class Benchmark:
    """How fast an artifact is.

    Attributes:
        settings: How it was taken.
        runtime: What ran the artifact, with its version.
        machine: The processor.
        latency_ms: Time of one run.
        throughput: Samples in a second.
        cold_start_ms: Times of fresh processes.
        memory_bytes: Memory of fresh processes.
        against_float: The latency relative to the float artifact's, where both were run in turns.
        record: The record as it was read.
    """

    settings: Settings | None = None
    runtime: str = ""
    machine: str = ""
    latency_ms: Percentiles | None = None
    throughput: float = 0.0
    cold_start_ms: ColdStart | None = None
    memory_bytes: Memory | None = None
    against_float: AgainstFloat | None = None
    record: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Benchmark:
        """Reads a `benchmark.json`."""
        return read(cls, record)

    def to_json(self) -> dict[str, Any]:
        """The record as the step wrote it."""
        return dict(self.record)
