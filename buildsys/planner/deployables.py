"""A deployable of a graph, from what was drafted for it."""

from __future__ import annotations

from dataclasses import replace

from buildsys.planner.builder import GraphBuilder, placed
from buildsys.planner.conversion.converting import Conversion
from buildsys.planner.drafts import DraftOutput
from buildsys.planner.entries import Entry, regression_bounds_of
from buildsys.planner.graph import Deployable, Evidence, OutputRef, Quantized, Route
from buildsys.planner.model import PlannedModel
from buildsys.planner.notices import detoured, notices, unjudged
from buildsys.planner.verification.measuring import widens
from buildsys.planner.verification.verifying import Verification


def add_deployable(
    builder: GraphBuilder,
    model: PlannedModel,
    entry: Entry,
    conversion: Conversion,
    verification: Verification,
) -> Deployable:
    """Adds the actions that a deployable needs to a graph, and the deployable itself.

    Args:
        builder: The graph.
        model: The entry's model.
        entry: The entry.
        conversion: What makes the artifact.
        verification: What proves it.
    """
    needed = _add_actions(builder, entry.label, conversion, verification)
    declared, options = conversion.format, conversion.options
    filename = entry.filename(model.machine.catalog)
    regression = regression_bounds_of(model.recipe, entry)
    later = unjudged(regression)
    detour = model.recipe.detours.get(entry.label)
    found = Deployable(
        label=entry.label,
        target=entry.target,
        model=entry.model,
        format=declared.name,
        filename=filename,
        place=entry.place,
        options=options,
        artifact=placed(conversion.described.artifact),
        io=placed(conversion.described.io),
        actions=needed,
        quantized=Quantized(
            profile=entry.item.quantization,
            chosen=entry.profile if entry.label in model.recipe.choices else None,
            scheme=conversion.scheme,
            precision=conversion.precision,
            widens=verification.figures is not None and widens(declared, conversion.scheme),
        ),
        route=Route(
            rules=conversion.rules,
            reproducible=all(step.rule.reproducible for step in conversion.steps),
            left=tuple(detour.failed) if detour is not None else (),
        ),
        evidence=_evidence(verification),
        limits=replace(verification.limits, unjudged=later) if later else verification.limits,
        notices=(
            *notices(declared, options, model.ports),
            *detoured(detour),
            *([later] if later else []),
        ),
        legacy=declared.legacy,
        probed=declared.probe is not None,
    )
    builder.graph.deployables.append(found)
    return found


def _add_actions(
    builder: GraphBuilder, label: str, conversion: Conversion, verification: Verification
) -> tuple[str, ...]:
    """Adds the actions of a deployable, labels those that it needs, and gives their ids."""
    wanted = (conversion.made.artifact, conversion.described.io, *verification.wanted)
    beside = verification.unquantized
    builder.add(wanted if beside is None else (*wanted, beside.made.artifact, beside.described.io))
    needed = tuple(builder.graph.below_all(map(_placed, wanted)))
    for name in needed:
        builder.graph.actions[name].labels.append(label)
    return needed


def _evidence(verification: Verification) -> Evidence:
    return Evidence(
        measurement=_placed(verification.figures),
        unverified=verification.unverified,
        check=_placed(verification.check),
        evaluated=verification.evaluated,
        baseline=_placed(verification.baseline),
        benchmark=_placed(verification.benchmark),
    )


def _placed(output: DraftOutput | None) -> OutputRef | None:
    return None if output is None else placed(output)
