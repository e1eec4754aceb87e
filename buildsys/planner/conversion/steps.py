"""The actions along a route: from a model's source to an artifact of some format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from buildsys.backends import base
from buildsys.planner.builder import GraphBuilder, rule_worker
from buildsys.planner.conversion import profiles
from buildsys.planner.conversion.describing import told
from buildsys.planner.conversion.routes import Step, without
from buildsys.planner.graph import Input, OutputRef
from buildsys.planner.source import ModelSource
from buildsys.planner.verification import data
from buildsys.recipe import Recipe
from buildsys.recipe.schema.quantization import FLOAT_SCHEMES

ARTIFACT, IO = "artifact", "io"
RANGES = "ranges"
"""What calibration found of activations; see `kit.quantize.ranges`."""


@dataclass(frozen=True)
class Artifact:
    """What a route ends in: an artifact and its io contract.

    Attributes:
        artifact: The artifact.
        io: Its contract.
        taken: What the last step was given, where that was an artifact.
        quantized: What it was quantized from: the artifact of its own format that the last step was given.
    """

    artifact: OutputRef
    io: OutputRef
    taken: Artifact | None = None
    quantized: Artifact | None = None


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


def follow(
    builder: GraphBuilder, recipe: Recipe, source: ModelSource, steps: tuple[Step, ...], goal: Goal
) -> Artifact:
    """Adds the actions of a route, or finds those that are there already."""
    inputs: dict[str, Input] = dict(source.files)
    imposed = [step.rule.needs for step in steps[1:]] + [{}]
    action = ""
    taken: Artifact | None = None
    for number, step in enumerate(steps):
        rule = step.rule
        declared = builder.catalog.formats[rule.gives]
        last = rule.gives == goal.format
        # What all routes of a model begin with is looked up by the rules alone; the next one counts
        # for what it imposes.
        begun: tuple[object, ...] = (
            source.name,
            *((id(o.rule), o.scheme) for o in steps[: number + 2]),
        )
        if any(each.rule.quantizes for each in steps[: number + 2]):
            begun = (*begun, goal.profile)
        if not last and begun in builder.begun:
            action = builder.begun[begun]
            inputs = {ARTIFACT: OutputRef(action, ARTIFACT), IO: OutputRef(action, IO)}
            continue
        # An intermediate is made with its format's defaults, as a deployable without options is:
        # then the two are one step.
        given = goal.options if last else builder.defaults(rule.gives)
        if number:
            taken = Artifact(OutputRef(action, ARTIFACT), OutputRef(action, IO))
        options: dict[str, Any] = {
            "ports": source.ports,
            "outputs": source.outputs,
            "format": {name: given[name] for name in rule.options},
            **imposed[number],
        }
        if number == 0:
            options["source"] = source.declaration
            options["layouts"] = source.layouts
            if rule.methods:
                options["method"] = source.method
        else:
            options["scheme"] = step.scheme
        if rule.metadata:
            options["metadata"] = {
                "project": recipe.spec.project,
                "model": source.name,
                "version": recipe.spec.release or "",
            }
        if rule.machine is not None:
            options["machine"] = dict(rule.machine())
        inputs |= _profile(builder, recipe, source, step, goal.profile, options)
        parts = rule.told(given) if last else ()
        if parts:
            inputs |= told(source, parts, options)
        action = builder.add(
            rule.name,
            rule_worker(step.backend, rule),
            environment=source.environment if rule.toolchain == "model" else rule.toolchain,
            inputs=inputs,
            options=options,
            outputs=_outputs(declared.suffix, declared.kind, "calibration" in inputs),
            user_code=rule.user_code,
            origin=source.place if number == 0 else goal.place,
            slot=goal.slot if last or rule.quantizes else source.name,
            unavailable=builder.unavailable(rule),
            resources=rule.resources,
            instead=without(builder.catalog, source.state, source.method, rule)
            if number and not rule.quantizes
            else (),
            way=rule.route,
        )
        if not last:
            builder.begun[begun] = action
        inputs = {ARTIFACT: OutputRef(action, ARTIFACT), IO: OutputRef(action, IO)}
    quantized = taken if steps[-1].rule.quantizes else None
    return Artifact(OutputRef(action, ARTIFACT), OutputRef(action, IO), taken, quantized)


@cache
def _outputs(suffix: str, kind: base.Kind, calibrated: bool) -> tuple[base.Output, ...]:
    ranges = (base.Output(RANGES, "ranges.json"),) if calibrated else ()
    return (base.Output(ARTIFACT, "model" + suffix, kind), base.Output(IO, "io.json"), *ranges)


def _profile(
    builder: GraphBuilder,
    recipe: Recipe,
    source: ModelSource,
    step: Step,
    name: str | None,
    options: dict[str, Any],
) -> dict[str, Input]:
    """Tells a step of the profile that it makes, if it makes one; gives its calibration data."""
    if name is None or (step.scheme is None and not step.rule.quantizes):
        return {}
    if step.scheme in FLOAT_SCHEMES and not step.rule.quantizes:
        declared = builder.catalog.formats[step.rule.gives]
        settings = _read_while_converting(recipe, declared, step.scheme, name)
        if settings:
            options["quantization"] = settings
        return {}
    return _quantization(builder, recipe, source, name, options)


def _read_while_converting(
    recipe: Recipe, declared: base.Format, scheme: str, name: str
) -> dict[str, Any]:
    """What of a profile a step reads that makes a scheme of floats while it converts."""
    (read,) = (each.reads for each in declared.schemes if each.name == scheme)
    given = recipe.spec.quantization[name].model_dump(mode="json", exclude_defaults=True)
    return {field: given[field] for field in read if field in given}


def _quantization(
    builder: GraphBuilder,
    recipe: Recipe,
    source: ModelSource,
    name: str,
    options: dict[str, Any],
) -> dict[str, Input]:
    """Puts a profile's settings into a step's options; gives its calibration data, if it has any."""
    options["quantization"] = profiles.settings(recipe, name)
    found = profiles.calibration(recipe, name)
    if found is None:
        return {}
    owner, declared = found
    calibration = data.draw(
        builder,
        recipe,
        source,
        declared.dataset,
        role="calibration",
        count=declared.count,
        seed=declared.seed,
        origin=("quantization", owner, "calibration"),
    )
    return {"calibration": calibration}
