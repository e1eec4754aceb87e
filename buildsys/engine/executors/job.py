"""One action handed to an executor, and what comes back. Executors never open the index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildsys.planner.graph import Action
from buildsys.store import Stored


@dataclass(frozen=True)
class Job:
    """An action with all that was unknown of it filled in.

    Attributes:
        action: The node.
        manifest: What its key is made of, as far as it was known when it was started.
        key: What its folder and log are named by: the action key, or the static one where the
            model's own code runs.
        inputs: Input name to (path of a user's file or `None`, digest). A path is copied and
            checked against the digest; without one the object comes from the store.
        python: The toolchain's interpreter; `None` for a step that is built in: one of ours, in pure
            numpy, which runs in a worker of the interpreter that runs the build.
        project: The recipe's folder, where the model's own code runs.
        threads: How many threads the step may use.
        timeout: Seconds after which it is killed.
        memory: Bytes above which it is killed; `None` for no such limit.
        room: Bytes that the running steps have together; `None` where nobody knows.
        told: Is called, from a thread of the executor, with each line in which the step says how far
            it is: `done`, `total`, `figures`.
    """

    action: Action
    manifest: Mapping[str, Any]
    key: str
    inputs: Mapping[str, tuple[Path | None, str]]
    python: Path | None
    project: Path | None
    threads: int
    timeout: float
    memory: int | None = None
    room: int | None = None
    told: Callable[[Mapping[str, Any]], None] = lambda line: None


@dataclass(frozen=True)
class Done:
    """A finished action: its outputs are in the store.

    Attributes:
        outputs: Output name to digest and size.
        notes: What the worker wanted said.
        discovered: What the model's own code read, path to digest.
        started_ns: When the worker started (POSIX nanoseconds).
        seconds: Wall time of the work alone.
        peak_rss: Peak resident memory in bytes.
        log: The worker's output.
        phases: Where the time went, in seconds: `inputs` (copying and checking them), `wait` (until
            a process was ready and had imported what it shares), `work`, `store`.
        cpu: Processor time of the work in seconds.
        imported: Name and version of each installed package that the step imported, and of Python.
    """

    outputs: dict[str, Stored]
    notes: tuple[str, ...]
    discovered: dict[str, str]
    started_ns: int
    seconds: float
    peak_rss: int
    log: Path
    phases: Mapping[str, float] = field(default_factory=dict)
    cpu: float = 0.0
    imported: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Failed:
    """An action that gave nothing.

    Attributes:
        message: What is wrong.
        hint: The way out, where one is known.
        field: The field of the recipe at fault, relative to the action's origin.
        log: The worker's output.
        rerun: A script that repeats the step by hand.
        seconds: Wall time of the work alone.
        changed: Whether the reason is that an input changed meanwhile: worth another try.
        environment: Whether the reason lies with the machine and not with the step (the process was
            killed from outside, no memory was left): another try may go well.
        lost: Whether the host around it died, for which another step may be the reason.
    """

    message: str
    hint: str | None = None
    field: str | None = None
    log: Path | None = None
    rerun: Path | None = None
    seconds: float = 0.0
    changed: bool = False
    environment: bool = False
    lost: bool = False


Outcome = Done | Failed
