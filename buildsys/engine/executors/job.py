"""One action handed to an executor, and what comes back. Executors never open the index."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from buildsys.backends.output import Output
from buildsys.planner.graph import Action, Worker
from buildsys.store import Stored


@dataclass(frozen=True)
class JobSpec:
    """All that is needed to do a step, and nothing that JSON cannot carry to another process.

    Attributes:
        action: The action's id.
        rule: Its rule.
        worker: What runs.
        environment: As of the action.
        options: All else that decides the outputs; plain JSON.
        outputs: What it must write.
        user_code: Whether the model's own code runs.
        resumes: Whether an interrupted attempt is taken up where it was.
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
        room: Bytes that the running steps have together; `None` where it is not known.
    """

    action: str
    rule: str
    worker: Worker
    environment: str | None
    options: Mapping[str, Any]
    outputs: tuple[Output, ...]
    user_code: bool
    resumes: bool
    key: str
    inputs: Mapping[str, tuple[Path | None, str]]
    python: Path | None
    project: Path | None
    threads: int
    timeout: float
    memory: int | None = None
    room: int | None = None

    def to_json(self) -> str:
        """The specification as JSON."""
        return json.dumps(asdict(self), default=os.fspath)

    @classmethod
    def from_json(cls, text: str) -> JobSpec:
        """Reads what `to_json` gave, in another process for example.

        Raises:
            ValueError: It is no specification.
        """
        from pydantic import TypeAdapter  # To import it costs a build more than all jobs here do.

        return TypeAdapter(cls).validate_json(text)


@dataclass(frozen=True)
class Job:
    """A specification, and what stays in the process that coordinates.

    Attributes:
        spec: What an executor goes by.
        action: The node.
        manifest: What its key is made of, as far as it was known when it was started.
        told: Is called, from a thread of the executor, with each line in which the step says how far
            it is: `done`, `total`, `figures`.
    """

    spec: JobSpec
    action: Action
    manifest: Mapping[str, Any]
    told: Callable[[Mapping[str, Any]], None] = lambda line: None

    @classmethod
    def of(
        cls,
        action: Action,
        key: str,
        inputs: Mapping[str, tuple[Path | None, str]],
        python: Path | None,
        project: Path | None,
        threads: int,
        timeout: float,
        *,
        memory: int | None = None,
        room: int | None = None,
        manifest: Mapping[str, Any] = MappingProxyType({}),
        told: Callable[[Mapping[str, Any]], None] = lambda line: None,
    ) -> Job:
        """Makes the job of an action; the arguments are those of `JobSpec` and `Job`."""
        spec = JobSpec(
            action.id,
            action.rule,
            action.worker,
            action.environment,
            action.options,
            action.outputs,
            action.user_code,
            action.resumes,
            key,
            inputs,
            python,
            project,
            threads,
            timeout,
            memory,
            room,
        )
        return cls(spec, action, manifest, told)


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
