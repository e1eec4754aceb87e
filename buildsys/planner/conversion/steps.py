"""The actions along a route: from a model's source to an artifact of some format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from buildsys.backends.output import Kind, Output
from buildsys.planner.conversion import profiles
from buildsys.planner.conversion.describing import told
from buildsys.planner.conversion.routes import Step, without
from buildsys.planner.drafts import Draft, DraftInput, DraftOutput
from buildsys.planner.graph import RANGES
from buildsys.planner.model import PlannedModel
from buildsys.planner.verification import data
from buildsys.planner.workers import rule_worker
from buildsys.quantization import FLOAT_SCHEMES

ARTIFACT, IO = "artifact", "io"


@dataclass(frozen=True)
class Artifact:
    """What a route ends in: an artifact and its io contract.

    Attributes:
        artifact: The artifact.
        io: Its contract.
        taken: What the last step was given, where that was an artifact.
        quantized: What it was quantized from: the artifact of its own format that the last step was given.
    """

    artifact: DraftOutput
    io: DraftOutput
    taken: Artifact | None = None
    quantized: Artifact | None = None

    @property
    def inputs(self) -> dict[str, DraftInput]:
        """Both, as inputs of a step."""
        return {ARTIFACT: self.artifact, IO: self.io}


@dataclass(frozen=True)
class Goal:
    """What a route is taken for.

    Attributes:
        format: The format that it ends in.
        options: That format's options, all of them.
        slot: Names the steps that make that format: a label, or the model for its own source.
        place: Where the recipe asks for it.
        profile: The quantization profile's name, or `None`.
    """

    format: str
    options: Mapping[str, Any]
    slot: str
    place: tuple[str | int, ...]
    profile: str | None = None


def follow(model: PlannedModel, steps: tuple[Step, ...], goal: Goal) -> Artifact:
    """Drafts the actions of a route."""
    made: Artifact | None = None
    route = [(id(step.rule), step.scheme) for step in steps]
    quantizing = next((n for n, step in enumerate(steps) if step.rule.quantizes), len(steps))
    for number, step in enumerate(steps):
        begun: tuple[object, ...] | None = None
        if step.rule.gives != goal.format:
            # What all routes of a model begin with is made once. The next step counts for what it imposes.
            profile = goal.profile if quantizing < number + 2 else None
            begun = (*route[: number + 2], profile)
            if begun in model.begun:
                made = model.begun[begun]
                continue
        draft = _draft(model, steps, number, made, goal)
        if begun is not None:
            made = model.begun[begun] = Artifact(draft[ARTIFACT], draft[IO])
        else:
            made = Artifact(draft[ARTIFACT], draft[IO], made, made if step.rule.quantizes else None)
    if made is None:
        raise ValueError("a route without a step")
    return made


def _draft(
    model: PlannedModel, steps: tuple[Step, ...], number: int, taken: Artifact | None, goal: Goal
) -> Draft:
    """Drafts one step of a route."""
    step = steps[number]
    rule, catalog = step.rule, model.machine.catalog
    declared = catalog.formats[rule.gives]
    last = rule.gives == goal.format
    # An intermediate is made with its format's defaults, as a deployable without options is: then the
    # two are one step.
    given = goal.options if last else catalog.default_options(rule.gives)
    imposed = steps[number + 1].rule.needs if number + 1 < len(steps) else {}
    options = _options(model, step, given, imposed, first=taken is None)
    inputs: dict[str, DraftInput] = dict(model.files) if taken is None else taken.inputs
    inputs |= _profile(model, step, goal.profile, options)
    parts = rule.told(given) if last else ()
    if parts:
        inputs |= told(model, parts, options)
    return Draft(
        rule.name,
        rule_worker(step.backend, rule),
        slot=goal.slot if last or rule.quantizes else model.name,
        environment=model.environment if rule.toolchain == "model" else rule.toolchain,
        inputs=inputs,
        options=options,
        outputs=_outputs(declared.suffix, declared.kind, "calibration" in inputs),
        user_code=rule.user_code,
        origin=model.place if taken is None else goal.place,
        unavailable=model.machine.lacks(rule),
        resources=rule.resources,
        instead=without(catalog, model.state, model.method, rule)
        if taken is not None and not rule.quantizes
        else (),
        way=rule.route,
    )


def _options(
    model: PlannedModel,
    step: Step,
    given: Mapping[str, Any],
    imposed: Mapping[str, Any],
    *,
    first: bool,
) -> dict[str, Any]:
    """What a step of a route receives, but for its profile."""
    rule = step.rule
    format_options = {name: given[name] for name in rule.options}
    options: dict[str, Any] = {**model.contract, "format": format_options, **imposed}
    if first:
        options["source"] = model.declaration
        options["layouts"] = model.layouts
        if rule.methods:
            options["method"] = model.method
    else:
        options["scheme"] = step.scheme
    if rule.metadata:
        options["metadata"] = {
            "project": model.recipe.spec.project,
            "model": model.name,
            "version": model.recipe.spec.release or "",
        }
    if rule.machine is not None:
        options["machine"] = dict(rule.machine())
    return options


@cache
def _outputs(suffix: str, kind: Kind, calibrated: bool) -> tuple[Output, ...]:
    ranges = (Output(RANGES, "ranges.json"),) if calibrated else ()
    return (Output(ARTIFACT, "model" + suffix, kind), Output(IO, "io.json"), *ranges)


def _profile(
    model: PlannedModel, step: Step, name: str | None, options: dict[str, Any]
) -> dict[str, DraftInput]:
    """Tells a step of the profile that it makes, if it makes one; gives its calibration data."""
    if name is None or (step.scheme is None and not step.rule.quantizes):
        return {}
    if step.scheme in FLOAT_SCHEMES and not step.rule.quantizes:
        declared = model.machine.catalog.formats[step.rule.gives]
        read = profiles.read_while_converting(model.recipe, declared, step.scheme, name)
        if read:
            options["quantization"] = read
        return {}
    options["quantization"] = profiles.settings(model.recipe, name)
    found = profiles.calibration(model.recipe, name)
    if found is None:
        return {}
    owner, declared_data = found
    drawn = data.draw(
        model,
        declared_data.dataset,
        "calibration",
        ("quantization", owner, "calibration"),
        count=declared_data.count,
        seed=declared_data.seed,
    )
    return {"calibration": drawn}
