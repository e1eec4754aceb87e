"""What `report --against --json` holds, field by field; docs/reports.md describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from buildsys.figures.json_form import Key, optional
from buildsys.figures.measurement import Metric
from buildsys.verify.judgment.gate import Gate


@dataclass(frozen=True)
class Change:
    """One thing of an io contract that differs.

    Attributes:
        side: `inputs` or `outputs`.
        name: The port.
        what: Its field; or `added`, `removed`, `renamed`, `order`.
        before: As it was.
        now: As it is.
        breaking: Whether an app that was written for the earlier artifact breaks.
    """

    side: str
    name: str
    what: str
    before: Any
    now: Any
    breaking: bool


@dataclass(frozen=True)
class Median:
    """A median latency in milliseconds.

    Attributes:
        p50: The median.
        low: The least that it may be, where that is known.
        high: The most that it may be, where that is known.
    """

    p50: float
    low: float | None = optional()
    high: float | None = optional()


@dataclass(frozen=True)
class Latency:
    """Two medians.

    Attributes:
        before: The earlier one.
        now: Today's.
        ratio: Now against before.
        least: The least ratio that the intervals allow; the ratio itself where one is not known.
        verdict: `slower`, `faster`, `same` (no difference was shown) or `unknown`.
        reason: Why it is unknown; or why there is nothing to tell.
    """

    before: Median
    now: Median
    ratio: float | None
    least: Annotated[float | None, Key("least_ratio")]
    verdict: str
    reason: str | None = None


@dataclass(frozen=True)
class StatusChange:
    """A status before and now.

    Attributes:
        before: The earlier one.
        now: Today's.
        change: Whether it is the `same`, `better` or `worse`.
        reason: Of today's.
    """

    before: str
    now: str
    change: str
    reason: str | None


@dataclass(frozen=True)
class SizeChange:
    """A size in bytes before and now, and now against before."""

    before: int | None
    now: int | None
    ratio: float | None


@dataclass(frozen=True)
class ErrorChange:
    """An error figure of an output, before and now."""

    output: str
    figure: str
    before: float | None
    now: float | None


@dataclass(frozen=True)
class MetricChange:
    """The task's metric before and now, as measurements have it.

    Attributes:
        before: The earlier one.
        now: Today's.
        loss: How much worse it is; negative where it is better.
        reason: Why there is no loss.
    """

    before: Metric | None
    now: Metric | None
    loss: float | None
    reason: str | None


@dataclass(frozen=True)
class Cause:
    """A field of an entry that explains why an artifact is another one."""

    what: str
    before: Any
    now: Any


@dataclass(frozen=True)
class Compared:
    """A deployable that both builds have.

    Attributes:
        label: Its label.
        status: What became of it.
        same_bytes: Whether both artifacts are one.
        size: The artifacts' sizes.
        errors: Every error figure of every output.
        metric: The task's metric.
        latency: The comparison of latencies, where both were measured.
        io: What changed of the io contract.
        io_known: Whether both contracts are known.
        causes: Why the artifact is another one.
        lost: Whether it shipped and does so no more.
        breaking: Whether an app that was written for the earlier one breaks.
        bounds: The recipe's bounds against the earlier one, judged.
    """

    label: str
    status: StatusChange
    same_bytes: bool
    size: SizeChange
    errors: tuple[ErrorChange, ...]
    metric: MetricChange
    latency: Latency | None
    io: tuple[Change, ...]
    io_known: bool
    causes: tuple[Cause, ...]
    lost: bool
    breaking: bool
    bounds: tuple[Gate, ...]


@dataclass(frozen=True)
class EarlierBuild:
    """What is compared with.

    Attributes:
        path: Where it was read from.
        kind: `report` or `bundle`.
        project: The project's name.
        release: A bundle's version.
        target: The one target that a bundle holds.
    """

    path: str
    kind: str
    project: str | None
    release: str | None
    target: str | None


@dataclass(frozen=True)
class Summary:
    """How many deployables are compared, added, removed and breaking, and how many bounds fail."""

    compared: int
    added: int
    removed: int
    breaking: int
    bounds_failed: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All deployables of two builds.

    Attributes:
        version: The version of this form.
        project: The project's name.
        earlier: What is compared with.
        summary: Counts.
        breaking: Whether an app breaks: a deployable is gone, or its contract is another one.
        allowed: Whether breaking changes are accepted.
        exit: The command's exit status.
        added: Labels that the earlier build does not have.
        removed: Labels that today's build does not have.
        deployables: Those that both have, in today's order.
    """

    version: Literal[1] = 1
    project: str
    earlier: EarlierBuild
    summary: Summary
    breaking: bool
    allowed: bool
    exit: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    deployables: tuple[Compared, ...]
