"""Adds actions to a graph, merging those that are the same step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from buildsys.backends.base import Backend, Output, Rule, Runtime
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import Action, ActionGraph, Input, Worker
from buildsys.planner.structure import Structures
from buildsys.toolchains.inside import program

PROTOCOL = ("kit.protocol.request", "kit.protocol.resuming")
"""What every step is called by."""
PROGRAM = Path(program.__file__)
READING = tuple(
    PROGRAM.parent / f"{name}.py"
    for name in ("reads", "hook", "watch", "syscalls", "inherited/sitecustomize")
)
"""What decides which files count as read: a record of an earlier one's may lack some."""


class NotInGraph(Exception):
    """A finished graph lacks a step that is looked for."""


class GraphBuilder:
    """A graph under construction.

    Attributes:
        graph: What there is of it.
        catalog: All backends.
        finished: Whether steps are only looked up from now on.
        begun: The last actions of the beginnings of routes that have been followed.
    """

    def __init__(self, project: str, catalog: Catalog) -> None:
        self.graph = ActionGraph()
        self.catalog = catalog
        self.finished = False
        self._project = project
        self._structures = Structures()
        self._by_structure: dict[bytes, str] = {}
        self.begun: dict[tuple[object, ...], str] = {}
        self._defaults: dict[str, Mapping[str, Any]] = {}
        self._unavailable: dict[int, str | None] = {}
        self._last: dict[str, int] = {}

    def defaults(self, format_name: str) -> Mapping[str, Any]:
        """What a format's options are where the recipe gives none."""
        found = self._defaults.get(format_name)
        if found is None:
            found = self.catalog.formats[format_name].options().model_dump(mode="json")
            self._defaults[format_name] = found
        return found

    def unavailable(self, rule: Rule) -> str | None:
        """Why this machine cannot do a rule; asked once a rule and graph."""
        if id(rule) not in self._unavailable:
            self._unavailable[id(rule)] = rule.available()
        return self._unavailable[id(rule)]

    def cannot_run(self, runtime: Runtime) -> str | None:
        """Why this machine has no use of a runtime; asked once a runtime and graph."""
        if id(runtime) not in self._unavailable:
            self._unavailable[id(runtime)] = runtime.available()
        return self._unavailable[id(runtime)]

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
        resources: Mapping[str, int] = MappingProxyType({}),
        instead: tuple[str, ...] = (),
        resumes: bool = False,
        way: str | None = None,
    ) -> str:
        """Adds an action, or finds the one that is the same step; gives its id.

        Raises:
            NotInGraph: The graph is finished and has no such step.
        """
        digest = self._structures.digest(rule, worker, environment, inputs, options, outputs)
        place = f"{slot}#{rule}"
        known = self._by_structure.get(digest)
        if known is not None:
            slots = self.graph.actions[known].slots
            if not self.finished and self._slot(place) not in slots:
                slots.append(self._slot(place))
            return known
        if self.finished:
            raise NotInGraph(place)
        name, number = place, self._last.get(place, 1)
        while name in self.graph.actions:
            number += 1
            name = f"{place}~{number}"
        self._last[place] = number
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
            resources=resources,
            number=len(self.graph.actions),
            instead=instead,
            resumes=resumes,
            way=way,
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
    started = f"{backend.name}.{name.partition(':')[0]}"
    ships = rule.ships if rule is not None else ()
    return _worker(name, backend.name, backend.folder, (started,), ships)


def kit_worker(backend: Backend, function: str, *modules: str) -> Worker:
    """A function of the kit that uses modules of a backend, such as `onnx.runtime`."""
    name = f"kit.{function}"
    return _worker(name, backend.name, backend.folder, (name.partition(":")[0], *modules))


@cache
def _worker(
    function: str,
    backend: str,
    folder: Path,
    started: tuple[str, ...],
    ships: tuple[str, ...] = (),
) -> Worker:
    modules = tuple(f"{program.PACKAGE}.{name}" for name in (*PROTOCOL, *started))
    shipped = tuple(Path(os.path.normpath(folder / name)) for name in ships)
    return Worker(function, backend, folder, modules, (PROGRAM, *READING, *shipped))


@cache
def host_worker(function: str) -> Worker:
    """A built-in step: a function of our own, which needs no toolchain."""
    package = f"{program.HOST_PACKAGE}.backends"
    modules = (*(f"{package}.{name}" for name in PROTOCOL), function.partition(":")[0])
    return Worker(function, None, None, modules)
