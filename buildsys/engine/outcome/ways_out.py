"""Ways out of a failure, without those that the same build saw fail.

Workers know one step: a trace that fails names the export as the way out, and the other way around. Only the
coordinator knows what became of the other way in this build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from buildsys.engine.executors.job import Failed
from buildsys.planner.graph import Action, ActionGraph

CAPTURES = {"torch.export": "export"}
"""The word of `capture:` for a step that has no such option."""
_NAMED = re.compile(r"`(capture|route): ([\w-]+)`")
_BETWEEN = re.compile(r"(?:, or |, |; )(?=`(?:capture|route): )")
ANOTHER = "write the operation in another way in the model, or leave this deployable out"


def of_failure(
    graph: ActionGraph, failures: Mapping[str, Failed], name: str
) -> tuple[str | None, tuple[str, ...]]:
    """The hint of a failed action, and what the model can be had as without it.

    Args:
        graph: The build's actions.
        failures: What failed so far, by action.
        name: The action.
    """
    action, failed = graph.actions[name], failures[name]
    others = [graph.actions[other] for other in failures if other != name]
    shut = {word for other in others for word in _ways(graph, other, action)}
    if action.way is not None:
        wanted = (each for each in graph.deployables if each.label in action.labels)
        shut |= {("route", word) for each in wanted for word in each.route.left}
    stuck = _stuck(graph, others, _models(graph, action))
    instead = tuple(each for each in action.instead if not _is_shut(each, shut, stuck))
    return _kept(failed.hint, shut), instead


def _kept(hint: str | None, shut: set[tuple[str, str]]) -> str | None:
    """The clauses of a hint that name no way which failed."""
    if hint is None:
        return None
    clauses = _BETWEEN.split(hint)
    kept = [each for each in clauses if not shut & set(_NAMED.findall(each))]
    if len(kept) == len(clauses):
        return hint
    if kept and _NAMED.search(kept[0]):
        return ", ".join(kept)
    tried = dict.fromkeys(f"`{field}: {word}`" for field, word in _NAMED.findall(hint))
    return f"{' and '.join(tried)} fail{'s' * (len(tried) == 1)} in this build too: {ANOTHER}"


def _is_shut(other: str, shut: set[tuple[str, str]], stuck: set[str]) -> bool:
    """Whether `onnx`, or `onnx by route: exported`, failed in this build."""
    named = _NAMED.findall(other)
    return bool(shut & set(named)) if named else other in stuck


def _ways(graph: ActionGraph, failed: Action, action: Action) -> Iterable[tuple[str, str]]:
    """The words of the recipe that a failure shows to lead nowhere for the model of another action."""
    if not _models(graph, failed) & _models(graph, action):
        return
    method = _method(failed)
    if method is not None:
        yield "capture", method
        if method == "export":
            yield "route", "exported"
        return
    if failed.rule != action.rule:
        return
    if failed.way is not None:
        yield "route", failed.way
    for above in failed.upstream():
        method = _method(graph.actions[above])
        if method is not None:
            yield "capture", method


def _method(action: Action) -> str | None:
    """The word of `capture:` that an action stands for."""
    if action.rule in CAPTURES:
        return CAPTURES[action.rule]
    method = action.options.get("method")
    return str(method) if action.rule == "torch.capture" and method is not None else None


def _models(graph: ActionGraph, action: Action) -> set[str]:
    return {each.model for each in graph.deployables if each.label in action.labels}


def _stuck(graph: ActionGraph, failed: Iterable[Action], models: set[str]) -> set[str]:
    """The formats that a failure stopped for models, whatever their route."""
    names = {action.id for action in failed}
    of_models = [each for each in graph.deployables if each.model in models]
    stopped = {
        each.label: each.format for each in of_models if names & set(graph.below(each.artifact))
    }
    going = {each.format for each in of_models if each.label not in stopped}
    return set(stopped.values()) - going
