"""The action that quantizes each layer of an artifact alone."""

from __future__ import annotations

from buildsys.backends import base
from buildsys.backends.output import Output
from buildsys.planner.catalog import Catalog
from buildsys.planner.drafts import Draft, DraftOutput
from buildsys.planner.graph import Action, ActionGraph, Deployable
from buildsys.planner.impossible import Impossible
from buildsys.planner.machine import Runner
from buildsys.planner.model import PlannedModel
from buildsys.planner.verification import data
from buildsys.planner.workers import kit_worker

ARTIFACT = "artifact"


class NoSensitivity(Impossible):
    """Layers of an artifact cannot be quantized one by one."""


def sensitivity(model: PlannedModel, graph: ActionGraph, deployable: Deployable) -> DraftOutput:
    """Drafts what quantizes each layer of a deployable alone; gives its `sensitivity`.

    Args:
        model: The deployable's model.
        graph: A graph with the deployable in it.
        deployable: What is looked into.

    Raises:
        NoSensitivity: It has no profile, or one that keeps no layer in float, or its format names no
            layers, or nothing runs it here.
    """
    catalog = model.machine.catalog
    declared = catalog.formats[deployable.format]
    step, layers, by = _able(model, graph, deployable)
    samples, _ = data.samples(model)
    backend = catalog.backend_of(deployable.format)
    quantizer = f"{backend.name}.{step.worker.function}"
    layers = f"{backend.name}.{layers}"
    runtime = f"{backend.name}.{by.runtime.module}"
    started = (quantizer.partition(":")[0], layers, runtime)
    return Draft(
        f"{declared.name}.sensitivity",
        kit_worker(backend, "quantize.sensitivity:measure_layers", *started),
        slot=deployable.label,
        environment=step.environment,
        inputs={**step.inputs, "samples": samples},
        options={
            **model.contract,
            "dynamic": declared.keeps_sizes(deployable.options),
            "step": step.options,
            "quantize": quantizer,
            "layers_module": layers,
            "runtime_module": runtime,
            "filename": next(o.filename for o in step.outputs if o.name == ARTIFACT),
            "others": {o.name: o.filename for o in step.outputs if o.name != ARTIFACT},
        },
        outputs=(Output("sensitivity", "sensitivity.json"),),
        origin=deployable.place,
        resources=by.runtime.resources,
    )["sensitivity"]


def _able(
    model: PlannedModel, graph: ActionGraph, deployable: Deployable
) -> tuple[Action, str, Runner]:
    """The step that quantizes a deployable, what names its layers, and what runs it there.

    Raises:
        NoSensitivity: One of them is missing.
    """
    catalog = model.machine.catalog
    declared = catalog.formats[deployable.format]
    step = _quantizing(catalog, graph, deployable)
    if step is None or deployable.quantized.scheme is None:
        raise NoSensitivity(
            f"`{deployable.label}` is not quantized by a step of its own",
            "ask for a deployable whose profile makes integers of a finished artifact",
        )
    if declared.layers is None or not keeps_layers(declared, deployable.quantized.scheme):
        able = sorted(f.name for f in catalog.formats.values() if f.layers is not None)
        raise NoSensitivity(
            f"{declared.name} does not keep single layers of `{deployable.quantized.scheme}` in float",
            f"formats that do: {', '.join(able) or 'none'}",
        )
    by = model.machine.runner(declared)
    if by is None or by.runtime.toolchain != step.environment:
        raise NoSensitivity(
            f"nothing runs {declared.name} where it is quantized",
            "ask on a machine that runs the format",
        )
    return step, declared.layers, by


def keeps_layers(declared: base.Format, scheme: str) -> bool:
    """Whether single layers of a format stay float with a scheme."""
    found = next((each for each in declared.schemes if each.name == scheme), None)
    return found is not None and "keep_float" in found.reads


def _quantizing(catalog: Catalog, graph: ActionGraph, deployable: Deployable) -> Action | None:
    """The step on a deployable's way that makes a smaller artifact of a finished one."""
    quantizing = {rule.name for _, rule in catalog.rules if rule.quantizes}
    for name in reversed(graph.below(deployable.artifact)):
        action = graph.actions[name]
        if action.rule in quantizing and action.rule in deployable.route.rules:
            return action
    return None
