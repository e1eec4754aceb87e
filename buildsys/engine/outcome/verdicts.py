"""The status of each deployable, judged again at every build from cached figures."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buildsys.backends.kit.tasks.direction import SHARES
from buildsys.engine.environments import Environments
from buildsys.engine.executors import Failed
from buildsys.engine.outcome import ways_out
from buildsys.engine.run import Run
from buildsys.engine.staleness.unseen import unseen
from buildsys.exit_status import ExitStatus
from buildsys.figures.benchmark import Benchmark
from buildsys.figures.calibration import Calibration
from buildsys.figures.measurement import Measurement
from buildsys.planner.graph import RANGES, ActionGraph, Deployable, OutputRef
from buildsys.store import CorruptObject, Store, Stored
from buildsys.verify.judgment import fast_kernels
from buildsys.verify.judgment.defaults import (
    ABOVE_FLOOR,
    COARSE,
    FAST_KERNELS,
    FLOORS,
    GRAPH_ABOVE_FLOOR,
    PARTS,
    cap,
    raised,
)
from buildsys.verify.judgment.floors import COSTS, HALF, HALF_WEIGHTS, Floors
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.judgment.gates import UNFIT, judge
from buildsys.verify.judgment.graph import without_graph
from buildsys.verify.judgment.limits import Limits
from buildsys.verify.wording import chance


class Status(enum.StrEnum):
    """A deployable's status; the words of the design."""

    VERIFIED = "verified"
    CHECKED = "checked"
    UNVERIFIED = "unverified"
    REJECTED = "rejected"
    FAILED = "failed"
    BLOCKED = "blocked"

    @property
    def shipped(self) -> bool:
        """Whether the artifact goes to `artifacts/<target>/`."""
        return self in (Status.VERIFIED, Status.CHECKED, Status.UNVERIFIED)


@dataclass(frozen=True)
class Verdict:
    """A deployable after a build.

    Attributes:
        deployable: What was asked for.
        status: What became of it.
        reason: Why, where the status alone does not say.
        artifact: Digest and size of the artifact, where one was made.
        gates: Each bound with its value.
        measurement: The figures.
        benchmark: How fast it is, where that was asked for.
        io: The io contract, as in `io.json`.
        notes: What the steps on its way want said, and that its format is legacy.
        baseline_bytes: Size of the unquantized artifact, where it was built.
        locks: Digest of the lock by toolchain on its route.
        log: The log of the step that failed, or of the one that made the artifact.
        failure: The failed step.
        calibration: How ranges of activations were taken.
        unseen: Through what its model's code read where nothing could see it, and the recipe lists no
            files: its inputs are not fully known then.
    """

    deployable: Deployable
    status: Status
    reason: str | None = None
    artifact: Stored | None = None
    gates: tuple[Gate, ...] = ()
    measurement: Measurement | None = None
    benchmark: Benchmark | None = None
    io: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    baseline_bytes: int | None = None
    locks: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    failure: Failed | None = None
    calibration: Calibration | None = None
    unseen: tuple[str, ...] = ()


class Judge:
    """Reads what a run gave and judges it."""

    def __init__(
        self, graph: ActionGraph, run: Run, store: Store, environments: Environments
    ) -> None:
        self._graph = graph
        self._run = run
        self._store = store
        self._environments = environments

    def verdicts(self) -> list[Verdict]:
        """One verdict a selected deployable, in the recipe's order.

        Raises:
            CorruptObject: A stored figure is damaged; it has been taken out, so build again.
        """
        return [self._verdict(deployable) for deployable in self._graph.deployables]

    def rejection(self, deployable: Deployable) -> str | None:
        """Why a deployable that is up to date does not ship; `None` where it does."""
        try:
            verdict = self._verdict(deployable)
        except CorruptObject:
            return None  # A build will find it, and make it again.
        return verdict.reason if verdict.status is Status.REJECTED else None

    def _verdict(self, deployable: Deployable) -> Verdict:
        stopped = self._stopped(deployable)
        if stopped is not None:
            return stopped
        artifact = self._stored(deployable.artifact)
        record, timed = (
            self._json(deployable.evidence.measurement),
            self._json(deployable.evidence.benchmark),
        )
        measurement = Measurement.of(record) if record is not None else None
        benchmark = Benchmark.of(timed) if timed is not None else None
        checked = self._json(deployable.evidence.check)
        baseline = self._stored(deployable.evidence.baseline)
        gates = self._gates(deployable, artifact, measurement, benchmark, baseline)
        failed = [gate for gate in gates if not gate.passed]
        status, reason = Status.VERIFIED, None
        if failed:
            status, reason = Status.REJECTED, rejection(failed)
        elif measurement is None or artifact is None:
            status, reason = Status.UNVERIFIED, deployable.evidence.unverified
        elif checked is not None or deployable.evidence.evaluated is not None:
            told = [checked["reason"]] if checked is not None else []
            told += (
                [deployable.evidence.evaluated] if deployable.evidence.evaluated is not None else []
            )
            status, reason = Status.CHECKED, "; ".join(told)
        return Verdict(
            deployable=deployable,
            status=status,
            reason=reason,
            artifact=artifact,
            gates=gates,
            measurement=measurement,
            benchmark=benchmark,
            io=self._json(deployable.io),
            notes=(
                *self._notes(deployable),
                *_without_floor(deployable, measurement),
                *useless_floor(deployable, measurement),
                *fast_kernels.notes(gates),
                *_of_metric(deployable, measurement),
                *_without_graph(deployable, measurement),
            ),
            baseline_bytes=baseline.size if baseline else None,
            locks=self._locks(self._graph.below(deployable.artifact)),
            log=self._run.logs.get(deployable.artifact.action),
            calibration=self._calibration(deployable),
            unseen=self.unseen(deployable),
        )

    def unseen(self, deployable: Deployable) -> tuple[str, ...]:
        """Through what a deployable's inputs are not fully known."""
        return unseen(self._graph, deployable, self._run.trace)

    def _gates(
        self,
        deployable: Deployable,
        artifact: Stored | None,
        measurement: Measurement | None,
        benchmark: Benchmark | None,
        baseline: Stored | None,
    ) -> tuple[Gate, ...]:
        if artifact is None:
            return ()
        limits, ratio = limits_of(deployable), None
        if measurement is None:
            # Not run; but a bound on the size needs no run.
            size = {
                name: at for name, at in deployable.limits.bounds.items() if name == "size_ratio"
            }
            limits = Limits(size)
        else:
            limits = limits_of(deployable, measurement)
            ratio = benchmark.against_float if benchmark is not None else None
        return judge(
            measurement,
            limits,
            bytes=artifact.size,
            baseline_bytes=baseline.size if baseline else None,
            latency_ratio=ratio,
        )

    def _stopped(self, deployable: Deployable) -> Verdict | None:
        """The verdict where a step gave nothing."""
        for name in deployable.actions:
            if name in self._run.failures:
                hint, _ = ways_out.of_failure(self._graph, self._run.failures, name)
                failure = replace(self._run.failures[name], hint=hint)
                rule = self._graph.actions[name].rule
                return Verdict(
                    deployable,
                    Status.FAILED,
                    f"{rule}: {failure.message}",
                    notes=self._notes(deployable),
                    log=failure.log,
                    failure=failure,
                )
        for name in deployable.actions:
            if name in self._run.skipped:
                return Verdict(deployable, Status.BLOCKED, self._run.skipped[name])
        return None

    def _stored(self, ref: OutputRef | None) -> Stored | None:
        trace = self._run.trace(ref.action) if ref is not None else None
        return trace.outputs[ref.output] if trace is not None and ref is not None else None

    def _json(self, ref: OutputRef | None) -> dict[str, Any] | None:
        stored = self._stored(ref)
        if stored is None:
            return None
        record: dict[str, Any] = json.loads(self._store.read(stored.digest))
        return record

    def _notes(self, deployable: Deployable) -> tuple[str, ...]:
        notes: dict[str, None] = {}
        for name in deployable.actions:
            trace = self._run.trace(name)
            for note in trace.notes if trace else ():
                notes[note] = None
        for note in (deployable.legacy, deployable.limits.unjudged):
            if note:
                notes[note] = None
        return tuple(notes)

    def _calibration(self, deployable: Deployable) -> Calibration | None:
        for name in reversed(self._graph.below(deployable.artifact)):
            if any(output.name == RANGES for output in self._graph.actions[name].outputs):
                ref = OutputRef(name, RANGES)
                stored, found = self._stored(ref), self._json(ref)
                if stored is None or found is None:
                    return None
                return Calibration(
                    found["method"],
                    found["runs"],
                    found["tried"],
                    len(found["tensors"]),
                    stored.digest,
                )
        return None

    def _locks(self, actions: list[str]) -> dict[str, str]:
        locks = {}
        for name in actions:
            environment = self._graph.actions[name].environment
            lock = self._environments.lock(environment) if environment else None
            if environment and lock:
                locks[environment] = f"lock sha256:{lock}"
        return locks


def precision_of(deployable: Deployable) -> str | None:
    """What a deployable's errors are compared with the cost of; `None` where that is no measure of them."""
    precision = FLOORS.get(deployable.quantized.scheme)
    return HALF_WEIGHTS if precision == HALF and deployable.quantized.widens else precision


def limits_of(deployable: Deployable, measurement: Measurement | None = None) -> Limits:
    """The limits that a deployable's measurement is held to."""
    multiple = raised(
        deployable.quantized.scheme, evaluated=deployable.evidence.evaluated is not None
    )
    bounds = deployable.limits.bounds
    if deployable.limits.default and _metric_of_zero(deployable, measurement):
        # The metric was to judge what few bits cost.
        bounds = {**bounds, "signal_error": min(bounds["signal_error"], COARSE["signal_error"])}
    return Limits(
        bounds,
        deployable.limits.output_bounds,
        precision=precision_of(deployable),
        raised=multiple if deployable.limits.default else None,
        floor_needed=not deployable.limits.default,
        relative=deployable.limits.default,
        graph=GRAPH_ABOVE_FLOOR if deployable.limits.default else None,
        unrounded=ABOVE_FLOOR[HALF] if deployable.limits.default else None,
        parts=PARTS.get(deployable.quantized.scheme) if deployable.limits.default else None,
        fast_kernels=FAST_KERNELS.get(deployable.quantized.scheme)
        if deployable.limits.default
        else None,
        cap=cap(deployable.quantized.scheme),
        graph_cap=cap(None),
    )


def _without_floor(deployable: Deployable, measurement: Measurement | None) -> tuple[str, ...]:
    """What a default bound is lacking, where the model's own precision is not known."""
    if (
        not deployable.limits.default
        or "floor_ratio" not in deployable.limits.bounds
        or measurement is None
    ):
        return ()
    floors = Floors.of(measurement, precision_of(deployable))
    missing = floors.missing
    reasons = dict.fromkeys(missing.values())
    lost = floors.lost
    told = f": {lost}, in torch on this machine" if lost else ""
    return tuple(f"held to `signal_error` alone: {reason}{told}" for reason in reasons)


def useless_floor(deployable: Deployable, measurement: Measurement | None) -> tuple[str, ...]:
    """That a precision costs a model so much that its cost is no measure of artifacts, and where."""
    limits = limits_of(deployable)
    if limits.raised is None or limits.precision is None:
        return ()
    floors = Floors.of(measurement, limits.precision)
    beyond = {
        name: floor for name, floor in floors.values.items() if limits.raised * floor > limits.cap
    }
    if not beyond:
        return ()
    worst = max(beyond, key=lambda name: beyond[name])
    outputs = ", ".join(f"`{name}`" for name in beyond)
    lost = f" ({floors.lost})" if floors.lost else ""
    return (
        f"{COSTS[limits.precision]} costs the model {beyond[worst]:.2g} of `{worst}` in torch on this "
        f"machine{lost}: too much to be a measure. The default bound on `signal_error` of {outputs} is the "
        f"most that a sound artifact may cost, {limits.cap:g}; name one of your own under `accept` if that "
        "rejects a right one",
    )


def _of_metric(deployable: Deployable, measurement: Measurement | None) -> tuple[str, ...]:
    """What a metric's drop does not tell."""
    metric = measurement.metric if measurement is not None else None
    if metric is None:
        return ()
    said = chance(metric)
    if deployable.limits.default and _metric_of_zero(deployable, measurement):
        said.append("the original's metric is 0, of which no part can be a bound on the drop")
    return tuple(said)


def _metric_of_zero(deployable: Deployable, measurement: Measurement | None) -> bool:
    """Whether a drop is asked of a metric that is 0 for the original, and no share."""
    metric = measurement.metric if measurement is not None else None
    if metric is None or "metric_drop" not in deployable.limits.bounds:
        return False
    return metric.name not in SHARES and metric.reference == 0


def _without_graph(deployable: Deployable, measurement: Measurement | None) -> tuple[str, ...]:
    """Why the default bound on the graph alone says nothing, where it does not."""
    reason = without_graph(measurement)
    if reason is None or not deployable.limits.default:
        return ()
    return (f"its graph was not judged apart from its rounded weights: {reason}",)


def rejection(failed: Sequence[Gate]) -> str:
    """Failed bounds in words, without those that have no value because of what another one says."""
    said = {_subject(gate) for gate in failed if gate.bound in UNFIT}
    telling = (
        gate
        for gate in failed
        if gate.value is not None or gate.bound in UNFIT or _subject(gate) not in said
    )
    return "; ".join(map(describe, telling))


def _subject(gate: Gate) -> tuple[str | None, str, str | None]:
    return gate.output, str(gate.at), gate.case


def describe(gate: Gate) -> str:
    """A failed bound in words, with the least bound that would have passed."""
    where = f" of {gate.output}" if gate.output else ""
    if gate.at:
        where += f" at {', '.join(f'{symbol} = {size}' for symbol, size in gate.at.items())}"
    if gate.case:
        where += f" for {gate.case}"
    if gate.value is None or gate.bound in ("shape", "dtype"):
        return f"{gate.bound}{where}: {gate.reason}"
    if gate.bound == "finite":
        return f"{gate.value:.0f} element{'s' * (gate.value != 1)}{where}: {gate.reason}"
    text = f"{gate.bound}{where} is {gate.value:.3g}, the bound is {gate.limit:.3g}"
    if gate.reason:
        text += f" ({gate.reason})"
    if gate.least is not None:
        text += f", {gate.least:.12g} would pass"
    # Of a bound on elements it is the sample with the greatest `signal_error`, which mostly is the same.
    return text if gate.worst is None else f"{text}; the worst sample is number {gate.worst}"


def exit_status(run: Run, verdicts: Sequence[Verdict], strict: bool) -> ExitStatus:
    """The documented exit status of a build."""
    if run.environment_error is not None:
        return ExitStatus.ENVIRONMENT
    statuses = {verdict.status for verdict in verdicts}
    if Status.FAILED in statuses or run.failures:
        return ExitStatus.FAILED
    unsure = Status.UNVERIFIED in statuses or any(verdict.unseen for verdict in verdicts)
    if Status.REJECTED in statuses or (strict and unsure):
        return ExitStatus.REJECTED
    return ExitStatus.ENVIRONMENT if Status.BLOCKED in statuses else ExitStatus.OK
