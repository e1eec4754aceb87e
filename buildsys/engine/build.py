"""Runs an action graph.

The strategy, in four points:
- Actions are looked at in topological order, with the very code that `plan` uses; a hit costs nothing.
- What has to run goes to a pool of threads, each of which minds one worker process. The thread that
  called `run` coordinates: it alone opens the index, and it writes one transaction a finished action.
- A toolchain is made when the first action that needs it comes up, beside whatever else is running.
- A stored object that turns out to be bad is taken out and its maker runs again; an input that
  changed meanwhile is looked at again. Nothing of a failed action is kept but its folder and log.
"""

from __future__ import annotations

import contextlib
import os
import queue
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildsys.engine import keys
from buildsys.engine.environments import Environments
from buildsys.engine.events import Event, Listener
from buildsys.engine.executors import Done, Failed, Job, LocalExecutor, Outcome
from buildsys.engine.keys import Manifest
from buildsys.engine.walk import Standing, State, Walk
from buildsys.planner.graph import Action, ActionGraph, FileInput
from buildsys.store import CorruptObject, StoreError, Trace
from buildsys.toolchains import ToolchainError
from buildsys.toolchains.worker_host import MODULES

ATTEMPTS = 3


@dataclass
class Settings:
    """How to run.

    Attributes:
        jobs: How many actions may run at a time.
        keep_going: Whether actions that do not depend on a failed one still run.
        timeout: Seconds after which an action is killed.
    """

    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    keep_going: bool = False
    timeout: float = 3600.0


@dataclass
class Run:
    """What happened to a graph.

    Attributes:
        standings: By action id; a hit or a finished action has a trace.
        failures: By action id.
        skipped: Actions that were not reached, with the reason.
        executed: Ids of the actions that ran to an end, well or not, in order.
        logs: Logs of what ran.
        environment_error: A toolchain that could not be made.
    """

    standings: dict[str, Standing] = field(default_factory=dict)
    failures: dict[str, Failed] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    logs: dict[str, Path] = field(default_factory=dict)
    environment_error: ToolchainError | None = None

    def trace(self, action: str) -> Trace | None:
        """What an action gave, if it came to an end."""
        standing = self.standings.get(action)
        return standing.trace if standing else None


@dataclass(frozen=True)
class _Finished:
    """A message from the pool: an outcome, an exception, or `None` for a toolchain that is made."""

    job: Job | None
    action: str
    outcome: Outcome | BaseException | None


class Coordinator:
    """Runs one graph once."""

    def __init__(
        self,
        walk: Walk,
        environments: Environments,
        executor: LocalExecutor,
        project: Path,
        settings: Settings,
        listener: Listener,
    ) -> None:
        self._walk = walk
        self._graph: ActionGraph = walk.graph
        self._environments = environments
        self._executor = executor
        self._project = project
        self._settings = settings
        self._listener = listener
        self._messages: queue.SimpleQueue[_Finished] = queue.SimpleQueue()
        self._run = Run()
        self._waiting: dict[str, Action] = dict(self._graph.actions)
        self._in_flight: dict[str, Job] = {}
        self._making: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._damaged: set[tuple[str, str]] = set()

    def run(self) -> Run:
        """Brings every action of the graph to an end.

        Raises:
            StoreError: The store cannot be written.
            KeyboardInterrupt: The user stopped it; workers have been killed.
        """
        pool = ThreadPoolExecutor(max_workers=self._settings.jobs)
        try:
            while True:
                self._start_what_is_ready(pool)
                if not self._in_flight and not self._making:
                    break
                self._take(self._messages.get())
        except BaseException:
            self._executor.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for name in self._waiting:
            self._run.skipped.setdefault(name, "an earlier step failed")
        self._walk.index.note(
            (self._graph.actions[name].slots, standing.key)
            for name, standing in self._run.standings.items()
            if standing.state is State.HIT and standing.key is not None
        )
        return self._run

    def _start_what_is_ready(self, pool: ThreadPoolExecutor) -> None:
        for action in list(self._waiting.values()):
            if not self._ready(action):
                continue
            reason = self._decided(action)
            if reason is not None:
                self._skip(action, reason)
                continue
            standing = self._walk.standing(action, self._run.standings)
            if standing.state is State.HIT:
                self._finish_hit(action, standing)
            elif standing.state is State.BLOCKED:
                self._run.standings[action.id] = standing
                self._skip(action, standing.reason or "")
            elif self._stopped():
                continue  # Without --keep-going nothing new starts; hits above are still taken.
            elif action.environment is not None and not self._has(action.environment):
                self._make(pool, action.environment)
            elif len(self._in_flight) < self._settings.jobs:
                self._start(pool, action, standing)

    def _stopped(self) -> bool:
        failed = self._run.failures or self._run.environment_error
        return bool(failed) and not self._settings.keep_going

    def _ready(self, action: Action) -> bool:
        return all(
            name in self._run.standings or name in self._run.failures or name in self._run.skipped
            for name in action.upstream()
        )

    def _decided(self, action: Action) -> str | None:
        """Why an action will not be run, where one above it gave nothing."""
        for name in action.upstream():
            if name in self._run.failures:
                return f"{self._graph.actions[name].rule} failed"
            if name in self._run.skipped:
                return self._run.skipped[name]
        return None

    def _skip(self, action: Action, reason: str) -> None:
        del self._waiting[action.id]
        self._run.skipped[action.id] = reason

    def _has(self, environment: str) -> bool:
        return self._environments.fingerprint(environment) is not None

    def _make(self, pool: ThreadPoolExecutor, environment: str) -> None:
        if environment in self._making:
            return
        self._making.add(environment)

        def progress(line: str) -> None:
            self._listener(Event("toolchain", {"toolchain": environment, "message": line}))

        def make() -> None:
            error: BaseException | None = None
            try:
                self._environments.ensure(environment, progress)
            except BaseException as caught:
                error = caught
            self._messages.put(_Finished(None, environment, error))

        pool.submit(make)

    def _start(self, pool: ThreadPoolExecutor, action: Action, standing: Standing) -> None:
        job = self._job(action, standing)
        if job is None or job.key in self._keys_in_flight():
            return  # The same step under another name is running: wait, and take what it gave.
        del self._waiting[action.id]
        self._in_flight[action.id] = job
        self._listener(Event("action_started", self._fields(action)))

        def work() -> None:
            outcome: Outcome | BaseException
            try:
                outcome = self._executor.run(job)
            except BaseException as caught:
                outcome = caught
            self._messages.put(_Finished(job, action.id, outcome))

        pool.submit(work)

    def _keys_in_flight(self) -> set[str]:
        return {job.key for job in self._in_flight.values()}

    def _job(self, action: Action, standing: Standing) -> Job | None:
        inputs: dict[str, tuple[Path | None, str]] = {}
        for name, given in action.inputs.items():
            digest = standing.manifest["inputs"][name]
            if digest is None:
                path = given.path if isinstance(given, FileInput) else None
                self._fail(action, Failed(f"{path} does not exist"))
                return None
            inputs[name] = (given.path if isinstance(given, FileInput) else None, digest)
        parallel = max(1, min(self._settings.jobs, os.cpu_count() or 1))
        return Job(
            action=action,
            manifest=standing.manifest,
            key=standing.key or standing.static or keys.digest(standing.manifest),
            inputs=inputs,
            python=self._environments.python(action.environment) if action.environment else None,
            project=self._project if action.user_code else None,
            threads=max(1, (os.cpu_count() or 1) // parallel),
            timeout=self._settings.timeout,
        )

    def _take(self, message: _Finished) -> None:
        if message.job is None:
            self._making.discard(message.action)
            if isinstance(message.outcome, ToolchainError):
                self._no_toolchain(message.action, message.outcome)
            elif isinstance(message.outcome, BaseException):
                raise message.outcome
            elif not self._has(message.action):
                error = ToolchainError(message.action, "it was made, and is not there", None)
                self._no_toolchain(message.action, error)
            return
        action = self._in_flight.pop(message.action).action
        outcome = message.outcome
        if isinstance(outcome, CorruptObject):
            self._again(action, outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        elif isinstance(outcome, Failed):
            if outcome.changed and self._attempt(action):
                self._waiting[action.id] = action
            else:
                self._fail(action, outcome)
        elif isinstance(outcome, Done):
            self._finish(action, message.job, outcome)

    def _no_toolchain(self, environment: str, error: ToolchainError) -> None:
        self._run.environment_error = self._run.environment_error or error
        for action in list(self._waiting.values()):
            if action.environment == environment:
                self._skip(action, f"toolchain {environment}: {error}")

    def _attempt(self, action: Action) -> bool:
        self._attempts[action.id] = self._attempts.get(action.id, 0) + 1
        return self._attempts[action.id] < ATTEMPTS

    def _again(self, action: Action, error: CorruptObject) -> None:
        """A stored input was bad: whatever made it is a miss now, and so is the action itself.

        What was built on top of it meanwhile is looked at again as well. The maker may give other
        bytes this time, and an artifact must never ship with another one's figures.
        """
        if (action.id, error.digest) in self._damaged:
            raise StoreError(str(error), "the disk may be failing")
        self._damaged.add((action.id, error.digest))
        self._tell("warning", f"a stored file was damaged and is made again ({error})", action)
        reopened = {name for name in action.upstream() if name in self._run.standings}
        for other in self._graph.actions.values():
            if reopened & set(other.upstream()):
                reopened.add(other.id)
        for name in reopened:
            self._run.standings.pop(name, None)
        reopened = {n for n in reopened if n not in self._in_flight} | {action.id}
        wait = (
            (reopened | self._waiting.keys()) - self._run.failures.keys() - self._run.skipped.keys()
        )
        self._waiting = {n: a for n, a in self._graph.actions.items() if n in wait}

    def _finish_hit(self, action: Action, standing: Standing) -> None:
        del self._waiting[action.id]
        self._run.standings[action.id] = standing
        self._listener(
            Event("action_finished", {**self._fields(action), "cached": True, "seconds": 0.0})
        )

    def _finish(self, action: Action, job: Job, outcome: Done) -> None:
        record = {name: v for name, v in job.manifest.items() if name != "discovered"}
        edited = self._edited(action, record)
        if edited is not None:
            self._again_after_change(action, edited)
            return
        static = None
        if action.user_code:
            moved = self._moved(outcome)
            if moved is not None:
                self._again_after_change(action, moved)
                return
            static = keys.digest(record)
            record["discovered"] = outcome.discovered
        key = keys.digest(record)
        trace = Trace(
            key, record, outcome.outputs, outcome.notes, outcome.seconds, outcome.peak_rss
        )
        self._walk.index.record(
            trace,
            keys.shape(action, self._walk.implementation(action)),
            action.slots,
            static,
            keys.canonical(outcome.discovered).decode() if action.user_code else None,
        )
        if all(name in self._run.standings for name in action.upstream()):
            self._run.standings[action.id] = Standing(State.HIT, record, key, static, trace)
        else:
            self._waiting[action.id] = action  # Something above it is being made again.
        self._run.executed.append(action.id)
        self._run.logs[action.id] = outcome.log
        self._listener(
            Event(
                "action_finished",
                {
                    **self._fields(action),
                    "cached": False,
                    "seconds": round(outcome.seconds, 3),
                    "peak_rss_bytes": outcome.peak_rss,
                },
            )
        )

    def _edited(self, action: Action, record: Manifest) -> str | None:
        """A file of the user's that is not now what the key says."""
        for name, given in action.inputs.items():
            if (
                isinstance(given, FileInput)
                and self._walk.memo.of(given.path) != record["inputs"][name]
            ):
                return given.path.name
        return None

    def _moved(self, outcome: Done) -> str | None:
        """A file that the model's code read and that is not now what it was then."""
        for path, digest in outcome.discovered.items():
            if self._walk.discovered_digest(path) != digest:
                return path
            with contextlib.suppress(OSError):
                status = (self._project / path).stat()
                changed = max(status.st_mtime_ns, status.st_ctime_ns)
                if changed > outcome.started_ns and not path.endswith(("/", MODULES)):
                    return path
        return None

    def _again_after_change(self, action: Action, what: str) -> None:
        message = f"{what} changed while {action.rule} ran; what it gave is not kept"
        if self._attempt(action):
            self._tell("warning", message, action)
            self._waiting[action.id] = action
        else:
            self._fail(action, Failed(message, "run the build again when nothing writes there"))

    def _fail(self, action: Action, failed: Failed) -> None:
        self._waiting.pop(action.id, None)
        self._run.failures[action.id] = failed
        self._run.executed.append(action.id)
        if failed.log is not None:
            self._run.logs[action.id] = failed.log
        self._tell("error", failed.message, action)

    def _tell(self, severity: str, message: str, action: Action) -> None:
        self._listener(
            Event("diagnostic", {"severity": severity, "message": message, **self._fields(action)})
        )

    @staticmethod
    def _fields(action: Action) -> dict[str, Any]:
        return {
            "id": action.id,
            "rule": action.rule,
            "deployable": action.labels[0] if action.labels else None,
        }
