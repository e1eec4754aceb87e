"""The actions along a route: from a model's source to an artifact of some format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from buildsys.backends import base
from buildsys.planner import data
from buildsys.planner.builder import GraphBuilder, rule_worker
from buildsys.planner.describing import told
from buildsys.planner.graph import Input, OutputRef
from buildsys.planner.routes import Step, without
from buildsys.planner.source import ModelSource
from buildsys.recipe import Recipe

ARTIFACT, IO = "artifact", "io"


@dataclass(frozen=True)
class Artifact:
    """What a route ends in: an artifact and its io contract.

    Attributes:
        artifact: The artifact.
        io: Its contract.
        taken: What the last step was given, where that was an artifact.
    """

    artifact: OutputRef
    io: OutputRef
    taken: Artifact | None = None


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
        begun = (source.name, *((id(o.rule), o.scheme) for o in steps[: number + 2]))
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
        if rule.quantizes and goal.profile is not None:
            inputs |= _quantization(builder, recipe, source, goal.profile, options)
        elif step.scheme is not None and goal.profile is not None:
            settings = _read_while_converting(recipe, declared, step.scheme, goal.profile)
            if settings:
                options["quantization"] = settings
        parts = rule.told(given) if last else ()
        if parts:
            inputs |= told(source, parts, options)
        action = builder.add(
            rule.name,
            rule_worker(step.backend, rule),
            environment=source.environment if rule.toolchain == "model" else rule.toolchain,
            inputs=inputs,
            options=options,
            outputs=_outputs(declared.suffix, declared.kind),
            user_code=rule.user_code,
            origin=source.place if number == 0 else goal.place,
            slot=goal.slot if last else source.name,
            unavailable=builder.unavailable(rule),
            resources=rule.resources,
            instead=without(builder.catalog, source.state, source.method, rule)
            if number and not rule.quantizes
            else (),
        )
        if not last:
            builder.begun[begun] = action
        inputs = {ARTIFACT: OutputRef(action, ARTIFACT), IO: OutputRef(action, IO)}
    return Artifact(OutputRef(action, ARTIFACT), OutputRef(action, IO), taken)


@cache
def _outputs(suffix: str, kind: base.Kind) -> tuple[base.Output, ...]:
    return (base.Output(ARTIFACT, "model" + suffix, kind), base.Output(IO, "io.json"))


def _read_while_converting(
    recipe: Recipe, declared: base.Format, scheme: str, name: str
) -> dict[str, Any]:
    """What of a profile a step reads that makes its scheme while it converts."""
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
    profile = recipe.spec.quantization[name]
    settings = profile.model_dump(mode="json", exclude={"calibration"}, exclude_none=True)
    options["quantization"] = settings
    if profile.calibration is None:
        return {}
    calibration = data.draw(
        builder,
        recipe,
        source,
        profile.calibration.dataset,
        role="calibration",
        count=profile.calibration.count,
        seed=profile.calibration.seed,
        origin=("quantization", name, "calibration"),
    )
    return {"calibration": calibration}
