"""Has a build judge other bytes in a deployable's place.

The action graph of a recipe stays as it is. Beside each deployable come others, with all the actions that
look at its artifact (run it, measure it, read its weights) once more, on an artifact that is taken from
the disk. So a fault is judged by the same steps, in the same environments and by the same bounds as what
ships; and what does not depend on the artifact, as the original's outputs, is the same action.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.faults import adoption
from buildsys.backends.output import Output
from buildsys.planner.graph import (
    Action,
    ActionGraph,
    Deployable,
    Evidence,
    FileInput,
    Input,
    OutputRef,
)
from buildsys.planner.workers import host_worker

PROBE = ".probe"
ONE_RUN = {"warmup": 0, "runs": 1}
"""How long it takes decides nothing here."""


@dataclass(frozen=True)
class Substitute:
    """Other bytes for a deployable.

    Attributes:
        label: The deployable's.
        name: What tells it from others for the same deployable.
        path: The file or folder.
    """

    label: str
    name: str
    path: Path

    @property
    def new_label(self) -> str:
        """The label under which it is judged."""
        return f"{self.label}/{self.name}"


def substituted(graph: ActionGraph, substitutes: Iterable[Substitute]) -> ActionGraph:
    """The graph with nothing but the substitutes to be judged.

    Args:
        graph: A recipe's own; its actions are shared.
        substitutes: What to put in the place of what.
    """
    by_label = {deployable.label: deployable for deployable in graph.deployables}
    made = ActionGraph(dict(graph.actions))
    for substitute in substitutes:
        deployable = by_label[substitute.label]
        made.deployables.append(_substituted(made, deployable, substitute))
    made.labels = tuple(deployable.label for deployable in made.deployables)
    return made


def relocated(graph: ActionGraph, substitutes: Iterable[Substitute]) -> ActionGraph:
    """The same for the graph that locates what is wrong with one deployable.

    Args:
        graph: Of `planner.make_location`, with the one output that it gives.
        substitutes: All for the deployable that it is of; one output is wanted of each, in order.
    """
    (wanted,) = graph.wanted
    probe = next(a for a in graph.actions.values() if a.rule.endswith(PROBE))
    artifact = probe.inputs["artifact"]
    if not isinstance(artifact, OutputRef):
        raise ValueError(f"{probe.id} looks into a file of the user's")
    made = ActionGraph(dict(graph.actions), labels=graph.labels)
    moved = [_moved(made, list(graph.actions), artifact, by) for by in substitutes]
    made.wanted = tuple(refs[wanted] for refs in moved)
    return made


def _substituted(graph: ActionGraph, wanted: Deployable, by: Substitute) -> Deployable:
    moved = _moved(graph, wanted.actions, wanted.artifact, by)
    changes = _outputs(wanted, moved)
    evidence = _outputs(wanted.evidence, moved)
    return replace(
        wanted,
        label=by.new_label,
        filename=f"{by.name}-{wanted.filename}",
        actions=tuple(graph.below_all([*changes.values(), *evidence.values()])),
        evidence=replace(wanted.evidence, **evidence),
        **changes,
    )


def _outputs(part: Deployable | Evidence, moved: Mapping[OutputRef, OutputRef]) -> dict[str, Any]:
    """The outputs among the fields of a deployable or of a part of it, each as it was moved."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return {
        name: moved.get(value, value)
        for name, value in values.items()
        if isinstance(value, OutputRef)
    }


def _moved(
    graph: ActionGraph, order: Iterable[str], artifact: OutputRef, by: Substitute
) -> dict[OutputRef, OutputRef]:
    """Adds what looks at an artifact once more; gives the outputs that stand for others.

    Args:
        graph: Is added to.
        order: Actions that may depend on the artifact, after what they depend on.
        artifact: What is put aside.
        by: What is put in its place.
    """
    maker = graph.actions[artifact.action]
    output = next(o for o in maker.outputs if o.name == artifact.output)
    moved = {artifact: OutputRef(_adopt(graph, by, output).id, "artifact")}
    for name in order:
        action = graph.actions[name]
        inputs: dict[str, Input] = {
            key: moved.get(given, given) if isinstance(given, OutputRef) else given
            for key, given in action.inputs.items()
        }
        if inputs == action.inputs:
            continue
        place = f"{by.new_label}#{action.rule}"
        copy = _add(
            graph,
            replace(
                action,
                id=place,
                inputs=inputs,
                options=_without_latency(action.options),
                slots=[place],
                labels=[by.new_label],
            ),
        )
        for made in action.outputs:
            moved[OutputRef(name, made.name)] = OutputRef(copy.id, made.name)
    return moved


def _adopt(graph: ActionGraph, by: Substitute, output: Output) -> Action:
    return _add(
        graph,
        Action(
            id=f"{by.new_label}#faults.adopt",
            rule="faults.adopt",
            worker=host_worker(adoption.WORKER),
            environment=None,
            inputs={"file": FileInput(by.path)},
            options={},
            outputs=(Output("artifact", output.filename, output.kind),),
            slots=[f"{by.new_label}#faults.adopt"],
            labels=[by.new_label],
        ),
    )


def _add(graph: ActionGraph, action: Action) -> Action:
    number, name = 2, action.id
    while action.id in graph.actions:
        action = replace(action, id=f"{name}~{number}")
        number += 1
    action.number = len(graph.actions)
    graph.actions[action.id] = action
    return action


def _without_latency(options: Mapping[str, Any]) -> dict[str, Any]:
    return {**options, **({"latency": ONE_RUN} if "latency" in options else {})}
