"""The workers of actions: functions of backends, of what backends share, and of our own."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from buildsys.backends.base import Backend, Rule
from buildsys.planner.graph import Worker
from buildsys.toolchains.inside import program

PROTOCOL = ("kit.protocol.request", "kit.protocol.resuming")
"""What every step is called by."""
PROGRAM = Path(program.__file__)
READING = tuple(
    PROGRAM.parent / f"{name}.py"
    for name in ("reads", "hook", "watch", "syscalls", "inherited/sitecustomize")
)
"""What decides which files count as read: a record of an earlier one's may lack some."""


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
