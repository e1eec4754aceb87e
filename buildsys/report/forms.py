"""What `report.json` and `plan --json` hold, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from buildsys.backends.kit.protocol.contract import Contract
from buildsys.engine.outcome.verdicts import Status
from buildsys.engine.staleness.keys import Change
from buildsys.engine.staleness.walk import State
from buildsys.figures.benchmark import Benchmark
from buildsys.figures.calibration import Calibration
from buildsys.figures.candidate import Figures
from buildsys.figures.json_form import Form, optional
from buildsys.figures.measurement import Measurement
from buildsys.verify.judgment.gate import Gate


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a search chose.

    Attributes:
        profile: The profile that was chosen.
        passed: Whether it meets what the search is subject to.
        built: How many candidates were built.
        float_bytes: Size of the float artifact.
        candidates: What was chosen from.
    """

    profile: str
    passed: bool
    built: int | None = optional()
    float_bytes: int | None = optional()
    candidates: Annotated[tuple[Mapping[str, Any], ...], Form(tuple[Figures, ...])]


@dataclass(frozen=True, kw_only=True)
class Detour:
    """Which of several routes was taken.

    Attributes:
        taken: The route.
        failed: Of each route before it, why it was left.
    """

    taken: str
    failed: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One deployable.

    Attributes:
        label: `TARGET/MODEL.FORMAT`.
        target: The platform.
        model: The model.
        format: The format.
        quantization: The profile; `null` where there is none.
        search: What a search chose, where one did.
        scheme: The profile's scheme.
        precision: What the scheme makes of weights and activations, in words.
        options: The format's options.
        path: Where the artifact lies; `null` where nothing was placed.
        sha256: The artifact's digest without its prefix.
        digest: The artifact's digest.
        bytes: The artifact's size.
        size_ratio: The size against the unquantized artifact of the same format.
        status: What became of it.
        reason: Why, where the status alone does not say.
        inputs_not_known: Through what its model's code read files that nothing could observe.
        notes: What the steps on its way noted.
        accept: The acceptance that it was judged by.
        gates: Each bound with its value.
        measurement: The figures; `null` where it was not run.
        calibration: How ranges of activations were taken.
        benchmark: How fast it is.
        io: The io contract.
        route: The rules from the model to the artifact.
        detour: Which of several routes was taken, where not the first.
        reproducible: Whether every step gives equal bytes for equal inputs.
        toolchains: The digest of each toolchain's lock.
        log: The log of the step that failed.
    """

    label: str
    target: str
    model: str
    format: str
    quantization: str | None
    search: Search | None = optional()
    scheme: str | None
    precision: str
    options: Mapping[str, Any]
    path: str | None
    sha256: str | None
    digest: str | None
    bytes: int | None
    size_ratio: float | None
    status: Status
    reason: str | None
    inputs_not_known: tuple[str, ...]
    notes: tuple[str, ...]
    accept: str
    gates: tuple[Gate, ...]
    measurement: Measurement | None
    calibration: Calibration | None
    benchmark: Benchmark | None
    io: Annotated[Mapping[str, Any] | None, Form(Contract | None)]
    route: tuple[str, ...]
    detour: Detour | None = optional()
    reproducible: bool
    toolchains: Mapping[str, str]
    log: str | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """The last build: each deployable that it was asked for.

    Attributes:
        version: The version of this form.
        project: The project.
        deployables: One entry a deployable, in the recipe's order.
    """

    version: Literal[1] = 1
    project: str
    deployables: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How long a build would take, from earlier ones; `null` where too little is known.

    Attributes:
        work_seconds: All steps one after another.
        seconds: On this machine's cores.
    """

    work_seconds: float | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class PlannedEntry:
    """One deployable of a plan.

    Attributes:
        label: `TARGET/MODEL.FORMAT`.
        sign: `+` new, `~` stale, `=` up to date, `?` maybe, `!` blocked.
        route: The rules from the model to the artifact.
        reasons: What changed.
        blocked: Why it cannot be made here.
        rejected: The bound that does not hold, of one that is up to date.
        inputs_not_known: Through what its model's code read files that nothing could observe.
        search: How many candidates a search would build at most, where it has none chosen.
        notices: What the planner says of it.
    """

    label: str
    sign: Annotated[str, Form(Literal["+", "~", "=", "?", "!"])]
    route: tuple[str, ...]
    reasons: tuple[str, ...]
    blocked: str | None
    rejected: str | None
    inputs_not_known: tuple[str, ...]
    search: int | None
    notices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PlannedAction:
    """One action of a plan.

    Attributes:
        id: Its id in the action graph.
        rule: What kind of step it is.
        toolchain: Where it runs.
        deployable: The first deployable that needs it.
        state: Where it stands.
        reason: Why, where the state alone does not say.
        why: The fields of its key that changed.
    """

    id: str
    rule: str
    toolchain: str | None
    deployable: str | None
    state: State
    reason: str | None
    why: tuple[Change, ...]


@dataclass(frozen=True, kw_only=True)
class PlanRecord:
    """What a build would do.

    Attributes:
        version: The version of this form.
        summary: How many actions are in each state.
        estimate: How long it would take.
        deployables: One entry a deployable, in the recipe's order.
        actions: Every action, each after those it depends on.
    """

    version: Literal[1] = 1
    summary: Mapping[str, int]
    estimate: Estimate
    deployables: tuple[PlannedEntry, ...]
    actions: tuple[PlannedAction, ...]
