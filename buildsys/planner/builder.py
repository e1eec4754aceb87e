"""Adds actions to a graph, merging those that are the same step."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildsys.backends.base import Backend, Output, Rule
from buildsys.planner.catalog import BUILT_IN, Catalog
from buildsys.planner.graph import Action, ActionGraph, Input, Worker, structure
from buildsys.toolchains import worker_host

KIT = BUILT_IN / "kit"
WORKER_HOST = Path(worker_host.__file__)


class GraphBuilder:
    """A graph under construction."""

    def __init__(self, project: str, catalog: Catalog) -> None:
        self.graph = ActionGraph()
        self.catalog = catalog
        self._project = project
        self._by_structure: dict[str, str] = {}

    def sketch(self) -> GraphBuilder:
        """A copy to try something on; the graph itself stays as it is."""
        other = GraphBuilder(self._project, self.catalog)
        other.graph.actions = dict(self.graph.actions)
        other._by_structure = dict(self._by_structure)
        return other

    def add(
        self,
        rule: str,
        worker: Worker,
        *,
        environment: str | None,
        inputs: Mapping[str, Input],
        options: Mapping[str, Any],
        outputs: tuple[Output, ...],
        slot: str,
        user_code: bool = False,
        origin: tuple[str | int, ...] = (),
        asked: tuple[str | int, ...] = (),
        unavailable: str | None = None,
    ) -> str:
        """Adds an action, or finds the one that is the same step; gives its id."""
        digest = structure(rule, worker, environment, inputs, options, outputs)
        place = f"{slot}#{rule}"
        known = self._by_structure.get(digest)
        if known is not None:
            action = self.graph.actions[known]
            if self._slot(place) not in action.slots:
                # The copy keeps a sketch from writing into the graph that it was taken from.
                self.graph.actions[known] = copy.copy(action)
                self.graph.actions[known].slots = [*action.slots, self._slot(place)]
            return known
        name, number = place, 1
        while name in self.graph.actions:
            number += 1
            name = f"{place}~{number}"
        self.graph.actions[name] = Action(
            id=name,
            rule=rule,
            worker=worker,
            environment=environment,
            inputs=dict(inputs),
            options=dict(options),
            outputs=outputs,
            user_code=user_code,
            origin=origin,
            asked=asked,
            slots=[self._slot(name)],
            unavailable=unavailable,
        )
        self._by_structure[digest] = name
        return name

    def _slot(self, place: str) -> str:
        return f"{self._project}:{place}"


def rule_worker(backend: Backend, rule: Rule | None = None, function: str | None = None) -> Worker:
    """The worker of a rule, or of a named function in a backend's folder."""
    name = rule.worker if rule is not None else function
    if name is None:
        raise ValueError("a worker needs a rule or a function")
    return Worker(name, backend.name, backend.folder, (backend.folder, KIT, WORKER_HOST))


def kit_worker(backend: Backend, function: str) -> Worker:
    """A function of the kit that uses a backend's runtime."""
    sources = (backend.folder, KIT, WORKER_HOST)
    return Worker(f"kit.{function}", backend.name, backend.folder, sources)


def host_worker(function: str) -> Worker:
    """A function that the coordinator itself runs; its module's package is its implementation."""
    spec = importlib.util.find_spec(function.partition(":")[0])
    if spec is None or spec.origin is None:
        raise ValueError(f"no module for {function}")
    return Worker(function, None, None, (Path(spec.origin).parent, KIT))
