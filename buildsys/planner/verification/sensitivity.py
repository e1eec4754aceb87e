"""The action that quantizes each layer of an artifact alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buildsys.backends import base
from buildsys.planner.builder import GraphBuilder, kit_worker
from buildsys.planner.graph import Action, Deployable, OutputRef
from buildsys.planner.impossible import Impossible
from buildsys.planner.source import ModelSource
from buildsys.planner.verification import data
from buildsys.planner.verification.measuring import runner
from buildsys.recipe import Recipe

ARTIFACT = "artifact"


class NoSensitivity(Impossible):
    """Layers of an artifact cannot be quantized one by one."""


def sensitivity(
    builder: GraphBuilder,
    recipe: Recipe,
    source: ModelSource,
    deployable: Deployable,
    options: Mapping[str, Any],
) -> OutputRef:
    """Adds what quantizes each layer of a deployable alone; gives its `sensitivity`.

    Args:
        builder: The graph, with the deployable in it.
        recipe: The recipe.
        source: The deployable's model.
        deployable: What is looked into.
        options: The format's options.

    Raises:
        NoSensitivity: It has no profile, or one that keeps no layer in float, or its format names no
            layers, or nothing runs it here.
    """
    declared = builder.catalog.formats[deployable.format]
    label = deployable.label
    step = _quantizing(builder, deployable)
    if step is None or deployable.scheme is None:
        raise NoSensitivity(
            f"`{label}` is not quantized by a step of its own",
            "ask for a deployable whose profile makes integers of a finished artifact",
        )
    if declared.layers is None or not keeps_layers(declared, deployable.scheme):
        able = sorted(f.name for f in builder.catalog.formats.values() if f.layers is not None)
        raise NoSensitivity(
            f"{declared.name} does not keep single layers of `{deployable.scheme}` in float",
            f"formats that do: {', '.join(able) or 'none'}",
        )
    by = runner(builder, declared)
    if by is None or by.runtime.toolchain != step.environment:
        raise NoSensitivity(
            f"nothing runs {declared.name} where it is quantized",
            "ask on a machine that runs the format",
        )
    samples, _ = data.samples(builder, recipe, source)
    backend = builder.catalog.backend_of(deployable.format)
    quantizer = f"{backend.name}.{step.worker.function}"
    layers = f"{backend.name}.{declared.layers}"
    runtime = f"{backend.name}.{by.runtime.module}"
    action = builder.add(
        f"{declared.name}.sensitivity",
        kit_worker(
            backend,
            "quantize.sensitivity:measure_layers",
            quantizer.partition(":")[0],
            layers,
            runtime,
        ),
        environment=step.environment,
        inputs={**step.inputs, "samples": samples},
        options={
            "ports": source.ports,
            "outputs": source.outputs,
            "dynamic": declared.keeps_sizes(options),
            "step": step.options,
            "quantize": quantizer,
            "layers_module": layers,
            "runtime_module": runtime,
            "filename": next(o.filename for o in step.outputs if o.name == ARTIFACT),
            "others": {o.name: o.filename for o in step.outputs if o.name != ARTIFACT},
        },
        outputs=(base.Output("sensitivity", "sensitivity.json"),),
        origin=deployable.place,
        slot=label,
        resources=by.runtime.resources,
    )
    return OutputRef(action, "sensitivity")


def keeps_layers(declared: base.Format, scheme: str) -> bool:
    """Whether single layers of a format stay float with a scheme."""
    found = next((each for each in declared.schemes if each.name == scheme), None)
    return found is not None and "keep_float" in found.reads


def _quantizing(builder: GraphBuilder, deployable: Deployable) -> Action | None:
    """The step on a deployable's way that makes a smaller artifact of a finished one."""
    quantizing = {rule.name for _, rule in builder.catalog.rules if rule.quantizes}
    for name in reversed(builder.graph.below(deployable.artifact)):
        action = builder.graph.actions[name]
        if action.rule in quantizing and action.rule in deployable.route:
            return action
    return None
