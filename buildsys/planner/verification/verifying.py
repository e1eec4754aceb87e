"""What proves an artifact: its figures, and what they are held to."""

from __future__ import annotations

from dataclasses import dataclass

from buildsys.backends import base
from buildsys.backends.output import Output
from buildsys.planner.bounds import LATENCY_BOUNDS, SIZE_BOUNDS, limits_of
from buildsys.planner.conversion.converting import Conversion, unquantized
from buildsys.planner.drafts import Draft, DraftOutput
from buildsys.planner.entries import Entry
from buildsys.planner.graph import Limits
from buildsys.planner.model import PlannedModel
from buildsys.planner.verification.benchmarking import benchmark
from buildsys.planner.verification.measuring import measure
from buildsys.planner.verification.original import check_original
from buildsys.planner.verification.running import Subject
from buildsys.planner.workers import rule_worker


@dataclass(frozen=True)
class Verification:
    """What is to be found out of an artifact.

    Attributes:
        limits: What it is held to.
        figures: Its measurement, or `None` where nothing runs the format here.
        check: The check of a package, where nothing here runs the package itself.
        original: The check of the original, in place of a measurement.
        unquantized: The unquantized artifact that it is compared with, built for that.
        benchmark: How fast it is, beside that one.
        unverified: Why there is no measurement.
        evaluated: What its figures leave unproven, where an evaluator gives them.
    """

    limits: Limits
    figures: DraftOutput | None
    check: DraftOutput | None
    original: DraftOutput | None
    unquantized: Conversion | None
    benchmark: DraftOutput | None
    unverified: str | None
    evaluated: str | None

    @property
    def baseline(self) -> DraftOutput | None:
        """The file of the unquantized artifact."""
        return None if self.unquantized is None else self.unquantized.made.artifact

    @property
    def wanted(self) -> tuple[DraftOutput | None, ...]:
        """What a verdict needs."""
        sized = SIZE_BOUNDS & set(self.limits.bounds)
        return (
            self.figures,
            self.check,
            self.original,
            self.baseline if sized else None,
            self.benchmark,
        )


def verify(model: PlannedModel, entry: Entry, conversion: Conversion) -> Verification:
    """Drafts what runs, measures and times the artifact of an entry."""
    shipped = Subject(
        conversion.format, conversion.made, conversion.options, conversion.scheme, entry.label
    )
    checked = _check(model, shipped)
    judged = shipped if checked is None else _contained(model, conversion, shipped)
    unrun = conversion.format.unrun(conversion.options)
    why_not = unrun or _unverified(model, conversion.format)
    unproven = _evaluated(model, judged.format)
    limits = limits_of(model, entry, conversion.scheme, judged.format)
    figures = measure(model, judged) if unrun is None else None
    original = None
    if figures is None and conversion.format.numeric:
        original = check_original(model)
    beside = None
    timed = model.declared.benchmark is not None
    compared = SIZE_BOUNDS | LATENCY_BOUNDS
    if conversion.scheme is not None and (timed or compared & set(limits.bounds)):
        # What it is compared with is built for it.
        beside = unquantized(model, entry, conversion.options)
    times = None
    if unrun is None and (timed or LATENCY_BOUNDS & set(limits.bounds)):
        times = benchmark(model, shipped, beside.made if beside is not None else None)
    return Verification(
        limits=limits,
        figures=figures,
        check=checked,
        original=original,
        unquantized=beside,
        benchmark=times,
        unverified=why_not if figures is None else None,
        evaluated=unproven if figures is not None else None,
    )


def _check(model: PlannedModel, subject: Subject) -> DraftOutput | None:
    """Drafts the check of a package around another artifact; `None` where the format has none."""
    check, made = subject.format.check, subject.artifact
    if check is None or made.taken is None:
        return None
    backend = model.machine.catalog.backend_of(subject.format.name)
    return Draft(
        f"{subject.format.name}.check",
        rule_worker(backend, function=check.worker),
        slot=subject.label,
        environment=check.toolchain,
        inputs={**made.inputs, "contained": made.taken.artifact},
        options={"ports": model.ports},
        outputs=(Output("check", "check.json"),),
    )["check"]


def _contained(model: PlannedModel, conversion: Conversion, package: Subject) -> Subject:
    """What is in a package: its figures are those of the package."""
    held = package.artifact.taken
    if held is None:
        raise ValueError(f"{package.label} holds nothing")
    catalog, name = model.machine.catalog, conversion.steps[-1].taken
    options = catalog.default_options(name)
    return Subject(catalog.formats[name], held, options, package.scheme, package.label)


def _unverified(model: PlannedModel, declared: base.Format) -> str:
    """Why nothing runs a format here."""
    for runtime in (declared.runtime, declared.evaluator):
        cannot = model.machine.lacks(runtime) if runtime else None
        if cannot is not None:
            return cannot
    return declared.unverified


def _evaluated(model: PlannedModel, declared: base.Format) -> str | None:
    """What is left unproven where an evaluator stands in for a format's runtime."""
    by = model.machine.runner(declared)
    return declared.evaluated if by is not None and by.evaluates else None
