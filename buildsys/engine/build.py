"""Runs an action graph.

The strategy, in five points:
- Actions are looked at as soon as all above them is decided, with the very code that `plan` uses; a
  hit costs nothing, and each action is looked at once unless something under it moved.
- What has to run goes to a pool of threads, each of which minds one worker. The thread that called
  `run` coordinates: it alone opens the index, and it writes one transaction a finished action.
- Of several builds that want an action at once, the one that holds its claim runs it; the others
  wait, and look again.
- A toolchain is made when the first action that needs it comes up, beside whatever else is running.
- A stored file that is gone or turns out to be bad is made again when something needs it; an input
  that changed meanwhile is looked at again. Nothing of a failed action is kept but its folder and log.
"""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol

from buildsys.engine import keys, schedule, ways_out
from buildsys.engine.claims import OURS, Claims
from buildsys.engine.environments import Environments
from buildsys.engine.events import Event, Listener
from buildsys.engine.executors import Done, Failed, Job, Outcome
from buildsys.engine.imported import differences
from buildsys.engine.keys import Manifest
from buildsys.engine.lease import Lease
from buildsys.engine.walk import Standing, State, Walk, roots
from buildsys.planner.graph import Action, ActionGraph, FileInput
from buildsys.store import CorruptObject, StoreError, Trace
from buildsys.store.index import Expense
from buildsys.toolchains import ToolchainError
from buildsys.toolchains.worker_host import MODULES, PRESENCE

ATTEMPTS = 3
POLL = 0.05
"""Seconds between two looks at an action that another build is running."""


class Executor(Protocol):
    """What runs actions; called from several threads."""

    processes_started: int

    def run(self, job: Job) -> Outcome:
        """Does a step and puts what it made into the store."""
        ...

    def prepare(self, job: Job, done: Callable[[], None]) -> None:
        """Makes an environment ready for a step that will come up, and calls `done`, at some time."""
        ...

    def stop(self) -> None:
        """Kills what is running."""
        ...

    def retire(self, environment: str) -> None:
        """Says that no further action needs an environment."""
        ...

    def close(self) -> None:
        """Ends whatever is kept running between actions."""
        ...


@dataclass
class Settings:
    """How to run.

    Attributes:
        jobs: How many actions may run at a time.
        max_failures: How many steps may fail before nothing new is started; `None` for no limit.
        timeout: Seconds after which an action is killed.
        retries: How often a step is tried again when its environment failed, not the step.
        memory: Bytes that running actions may take together, and that none may exceed alone; `None`
            for what is free, and no limit for one alone.
        resources: How many there are of each named resource.
    """

    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    max_failures: int | None = 1
    timeout: float = 3600.0
    retries: int = 0
    memory: int | None = None
    resources: Mapping[str, int] = field(default_factory=dict)


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

    def settled(self, action: str) -> bool:
        """Whether it is decided what became of an action."""
        return action in self.standings or action in self.failures or action in self.skipped


@dataclass(frozen=True)
class _Finished:
    """A message from the pool: an outcome, an exception, or `None` for a toolchain that is made."""

    job: Job | None
    action: str
    outcome: Outcome | BaseException | None


@dataclass(frozen=True)
class _Prepared:
    """A message from the executor: an environment has imported what was asked for."""

    environment: str


class Coordinator:
    """Runs one graph once.

    Args:
        walk: The graph, and how to look at it.
        environments: Where workers run.
        executor: What runs them.
        project: The recipe's folder.
        settings: How to run.
        listener: Is told what happens.
        claims: Which actions this build runs, of those that several want.
        lease: Keeps what this build uses from being collected.
    """

    def __init__(
        self,
        walk: Walk,
        environments: Environments,
        executor: Executor,
        project: Path,
        settings: Settings,
        listener: Listener,
        claims: Claims,
        lease: Lease,
    ) -> None:
        self._walk = walk
        self._graph: ActionGraph = walk.graph
        self._environments = environments
        self._executor = executor
        self._project = project
        self._settings = settings
        self._listener = listener
        self._claims = claims
        self._lease = lease
        self._began = time.monotonic()
        self._messages: queue.SimpleQueue[_Finished | _Prepared] = queue.SimpleQueue()
        self._run = Run()
        self._roots = roots(self._graph.deployables)
        self._roots |= {ref.action for ref in self._graph.wanted}
        self._consumers: dict[str, list[str]] = {}
        self._missing: dict[str, int] = {}
        """Actions that wait for others: how many of those above them are not decided."""
        self._ready: deque[str] = deque()
        self._candidates = schedule.Candidates(lambda name: self._remaining[name])
        self._in_flight: dict[str, Job] = {}
        self._twins: dict[str, list[str]] = {}
        self._elsewhere: set[str] = set()
        self._told: dict[str, str] = {}
        self._broken: dict[str | None, str] = {}
        self._seen: dict[str, Standing] = {}
        self._making: dict[str, list[str]] = {}
        self._left: dict[str, int] = {}
        self._preparing: set[str] = set()
        self._warm: set[str] = set()
        self._considered: set[str] = set()
        self._demanded: set[str] = set()
        self._reopened: dict[str, Trace] = {}
        self._attempts: dict[str, int] = {}
        self._tries: dict[str, int] = {}
        self._damaged: dict[tuple[str, str], int] = {}
        self._room = schedule.Room(
            settings.jobs,
            settings.memory if settings.memory is not None else schedule.free_memory(),
            settings.resources,
        )

    @cached_property
    def _expected(self) -> dict[str, Expense]:
        return schedule.expenses(self._walk)

    @cached_property
    def _remaining(self) -> dict[str, float]:
        return schedule.remaining(self._walk, self._expected)

    def run(self) -> Run:
        """Brings every action of the graph to an end.

        Raises:
            StoreError: The store cannot be written.
            KeyboardInterrupt: The user stopped it; workers have been killed.
        """
        for action in self._graph.actions.values():
            above = set(action.upstream())
            for name in above:
                self._consumers.setdefault(name, []).append(action.id)
            self._missing[action.id] = len(above)
            if action.environment is not None:
                self._left[action.environment] = self._left.get(action.environment, 0) + 1
            if not above:
                self._ready.append(action.id)
        # Two more, so that toolchains are made beside what runs.
        pool = ThreadPoolExecutor(max_workers=self._settings.jobs + 2)
        try:
            while True:
                self._advance(pool)
                if not (self._in_flight or self._making or self._elsewhere):
                    break
                with contextlib.suppress(queue.Empty):
                    self._take(self._messages.get(timeout=POLL if self._elsewhere else None))
        except BaseException:
            self._executor.stop()
            self._environments.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            self._claims.give_back_all()
        for name in self._graph.actions:
            if not self._run.settled(name):
                self._run.skipped[name] = "an earlier step failed"
        self._keep_history()
        return self._run

    def _keep_history(self) -> None:
        hits = {
            name: standing
            for name, standing in self._run.standings.items()
            if standing.trace is not None and standing.key is not None
        }
        actions = self._graph.actions
        ran = set(self._run.executed)
        self._walk.index.note(
            self._walk.known,
            ((actions[n].slots, str(s.key)) for n, s in hits.items() if n not in ran),
        )
        self._walk.index.touch(s.trace for s in hits.values() if s.trace is not None)

    # Looking at actions, and starting them

    def _advance(self, pool: ThreadPoolExecutor) -> None:
        """Looks at all that can be looked at, then starts what there is room for."""
        for name in self._elsewhere:
            self._candidates.add(name)  # It may be free by now; to ask is to try.
        self._elsewhere.clear()
        while True:
            while self._ready:
                self._look(self._ready.popleft(), pool)
            if self._stopped():
                self._candidates.clear()
                break
            if self._room.full or not len(self._candidates):
                break
            chosen = self._candidates.take(self._fits)
            if chosen is None:
                break
            self._start(pool, chosen)
        self._prepare()

    def _prepare(self) -> None:
        """Has an environment import what it will need, while part of the machine has nothing to do.

        Only for steps that are sure to run, since nothing like them was ever run here.
        """
        running = [job.action.environment for job in self._in_flight.values()]
        # Those that wait for one import keep one core busy.
        busy = len({e for e in running if e not in self._warm})
        busy += sum(e in self._warm for e in running) + len(self._preparing)
        if self._stopped() or not running or busy >= self._settings.jobs:
            return
        self._considered.update(e for e in running if e is not None)
        best: Action | None = None
        for environment in [e for e in self._left if e not in self._considered]:
            action = self._next_of(environment) if self._has(environment) else None
            if action is None:
                self._considered.add(environment)
            elif best is None or self._remaining[action.id] > self._remaining[best.id]:
                best = action
        if best is not None and best.environment is not None:
            self._considered.add(best.environment)
            self._preparing.add(best.environment)
            done = partial(self._messages.put, _Prepared(best.environment))
            self._executor.prepare(self._blank_job(best), done)

    def _next_of(self, environment: str) -> Action | None:
        """The most urgent step of an environment that waits for others, and is sure to run."""
        found = [
            action
            for action in self._graph.actions.values()
            if action.environment == environment
            and self._missing[action.id]
            and not self._run.settled(action.id)
            and self._walk.is_new(action)
        ]
        return max(found, key=lambda action: self._remaining[action.id], default=None)

    def _fits(self, name: str) -> bool:
        action = self._graph.actions[name]
        return self._room.fits(self._expected[name].peak_rss, action.resources)

    def _look(self, name: str, pool: ThreadPoolExecutor) -> None:
        action = self._graph.actions[name]
        if self._run.settled(name) or name in self._in_flight or self._missing[name]:
            return
        reason = self._decided(action)
        if reason is not None:
            self._skip(action, reason)
            return
        standing = self._walk.standing(action, self._run.standings)
        if standing.state is State.HIT or (standing.lost and not self._needs_files(name)):
            self._finish_hit(action, standing)
        elif standing.state is State.BLOCKED:
            self._run.standings[name] = standing
            self._skip(action, standing.reason or "")
        elif (lacking := self._room.lacks(action.resources)) is not None:
            self._skip(action, f"it needs {lacking}, of which this machine has too little")
        elif self._stopped():
            pass  # Nothing new starts after too many failures; hits are still taken.
        elif action.environment in self._broken:
            self._skip(action, self._broken[action.environment])
        elif action.environment is not None and not self._has(action.environment):
            self._make(pool, action.environment, name)
        else:
            self._seen[name] = standing
            self._candidates.add(name)

    def _needs_files(self, name: str) -> bool:
        """Whether an action's own files are needed, not only what is known of them."""
        return name in self._roots or name in self._demanded

    def _stopped(self) -> bool:
        limit = self._settings.max_failures
        failed = len(self._run.failures) + (self._run.environment_error is not None)
        return limit is not None and failed >= limit

    def _decided(self, action: Action) -> str | None:
        """Why an action will not be run, where one above it gave nothing."""
        for name in action.upstream():
            if name in self._run.failures:
                return f"{self._graph.actions[name].rule} failed"
            if name in self._run.skipped:
                return self._run.skipped[name]
        return None

    def _skip(self, action: Action, reason: str) -> None:
        self._run.skipped[action.id] = reason
        self._settle(action)

    def _settle(self, action: Action) -> None:
        """Tells those below that one more of those above them is decided."""
        for name in self._consumers.get(action.id, ()):
            self._missing[name] -= 1
            if self._missing[name] == 0:
                self._ready.append(name)
        if action.environment is not None:
            self._left[action.environment] -= 1
            if not self._left[action.environment]:
                self._executor.retire(action.environment)

    def _reopen(self, name: str) -> None:
        """Takes back what was decided of an action, so that it is looked at again."""
        standing = self._run.standings.pop(name)
        action = self._graph.actions[name]
        if standing.trace is not None:
            self._reopened[name] = standing.trace
        if action.environment is not None:
            self._left[action.environment] += 1
        for below in self._consumers.get(name, ()):
            self._missing[below] += 1
        if self._missing[name] == 0:
            self._ready.append(name)

    def _demand(self, action: Action) -> bool:
        """Has the inputs of an action made again whose files are gone; whether there are any."""
        gone = [
            name
            for name in dict.fromkeys(action.upstream())
            if (trace := self._run.trace(name)) is not None and not self._walk.present(trace)
        ]
        for name in gone:
            self._demanded.add(name)
            self._reopen(name)
        return bool(gone)

    def _has(self, environment: str) -> bool:
        return self._environments.fingerprint(environment) is not None

    def _make(self, pool: ThreadPoolExecutor, environment: str, name: str) -> None:
        """Has a toolchain made; the action is looked at again when that has come to an end."""
        if environment in self._making:
            self._making[environment].append(name)
            return
        self._making[environment] = [name]
        altered = self._environments.altered(environment)
        if altered is not None:
            message = f"toolchain {environment} was altered ({altered}); it is made anew"
            self._tell_of("diagnostic", {"severity": "warning", "message": message})

        def progress(line: str) -> None:
            self._tell_of("toolchain", {"toolchain": environment, "message": line})

        def make() -> None:
            error: BaseException | None = None
            try:
                self._environments.ensure(environment, progress)
            except BaseException as caught:
                error = caught
            self._messages.put(_Finished(None, environment, error))

        pool.submit(make)

    def _start(self, pool: ThreadPoolExecutor, name: str) -> None:
        action = self._graph.actions[name]
        self._begin()
        if self._run.settled(name) or name in self._in_flight or self._missing[name]:
            return  # What is above it was taken back since.
        job = self._claimed(action)
        if job is None:
            return
        if self._demand(action):
            self._claims.give_back(job.key)
            return  # It comes up again when they are there.
        self._in_flight[name] = job
        self._room.take(name, self._expected[name].peak_rss, action.resources)
        self._tell_of("action_started", self._fields(action))

        def work() -> None:
            outcome: Outcome | BaseException
            try:
                outcome = self._executor.run(job)
            except OSError as error:  # Its interpreter does not start, for example.
                outcome = Failed(f"no worker could be run: {error}", environment=True)
            except BaseException as caught:
                outcome = caught
            self._messages.put(_Finished(job, name, outcome))

        pool.submit(work)

    def _begin(self) -> None:
        """Before the first action runs: says what this build uses, then looks whether it is there."""
        if self._lease.is_open:
            return
        self._lease.open()
        traces = [*self._walk.known.traces.values()]
        traces += [s.trace for s in self._run.standings.values() if s.trace is not None]
        self._lease.add(o.digest for trace in traces for o in trace.outputs.values())
        for name, standing in list(self._run.standings.items()):
            if (
                standing.trace is not None
                and self._needs_files(name)
                and not self._walk.present(standing.trace)
            ):
                self._reopen(name)

    def _claimed(self, action: Action) -> Job | None:
        """The job of an action that is ours to run; `None` where it is not, or not any more."""
        key = _claim_key(self._seen[action.id])
        if any(key == other.key for other in self._in_flight.values()):
            # The same step under another name is running: take what it gives.
            self._twins.setdefault(key, []).append(action.id)
            return None
        holder = self._claims.take(key)
        if holder is not None:
            self._elsewhere.add(action.id)
            if holder != OURS and self._told.get(action.id) != holder:
                self._told[action.id] = holder
                self._tell_of("waiting", {**self._fields(action), "holder": holder})
            return None
        # Whoever had it may have finished it, and files may have changed, since we looked.
        now = self._walk.standing(action, self._run.standings)
        self._seen[action.id] = now
        if now.state is State.HIT or (now.lost and not self._needs_files(action.id)):
            self._claims.give_back(key)
            self._finish_hit(action, now)
            return None
        job = self._job(action, now) if _claim_key(now) == key else None
        if job is None:
            self._claims.give_back(key)
            self._ready.append(action.id)
        return job

    def _job(self, action: Action, standing: Standing) -> Job | None:
        inputs: dict[str, tuple[Path | None, str]] = {}
        for name, given in action.inputs.items():
            digest = standing.manifest["inputs"][name]
            if digest is None:
                path = given.path if isinstance(given, FileInput) else None
                self._fail(action, Failed(f"{path} does not exist"))
                return None
            inputs[name] = (given.path if isinstance(given, FileInput) else None, digest)
        return replace(
            self._blank_job(action),
            manifest=standing.manifest,
            key=_claim_key(standing),
            inputs=inputs,
        )

    def _blank_job(self, action: Action) -> Job:
        """A job without its inputs."""
        parallel = max(1, min(self._settings.jobs, os.cpu_count() or 1))
        return Job(
            action=action,
            manifest={},
            key="",
            inputs={},
            python=self._environments.python(action.environment) if action.environment else None,
            project=self._project if action.user_code else None,
            threads=max(1, (os.cpu_count() or 1) // parallel),
            timeout=self._settings.timeout,
            memory=self._settings.memory,
            room=self._room.memory,
            told=partial(self._far, action),
        )

    def _far(self, action: Action, line: Mapping[str, Any]) -> None:
        """A running step says how far it is; called from a thread of the executor."""
        said = {name: line.get(name) for name in ("done", "total", "figures")}
        self._tell_of("action_progress", {**self._fields(action), **said})

    # What comes back

    def _take(self, message: _Finished | _Prepared) -> None:
        if isinstance(message, _Prepared):
            self._preparing.discard(message.environment)
            self._warm.add(message.environment)
            return
        if message.job is None:
            self._toolchain_made(message.action, message.outcome)
            return
        self._room.give_back(message.action)
        if message.job.action.environment is not None:
            self._warm.add(message.job.action.environment)
        action = self._in_flight.pop(message.action).action
        outcome = message.outcome
        try:
            if isinstance(outcome, CorruptObject):
                self._damage(action, outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            elif isinstance(outcome, Failed):
                self._failed(action, outcome)
            elif isinstance(outcome, Done):
                self._finish(action, message.job, outcome)
        finally:
            self._claims.give_back(message.job.key)
        self._ready.extend(self._twins.pop(message.job.key, ()))

    def _toolchain_made(self, environment: str, outcome: object) -> None:
        waiting = self._making.pop(environment)
        if isinstance(outcome, BaseException) and not isinstance(outcome, ToolchainError):
            raise outcome
        if outcome is None and not self._has(environment):
            outcome = ToolchainError(environment, "it was made, and is not there", None)
        if outcome is None:
            made = {"toolchain": environment, "message": "ready", "done": True}
            self._tell_of("toolchain", made)
            self._ready.extend(waiting)
            return
        assert isinstance(outcome, ToolchainError)
        if self._try_again(environment):
            message = f"toolchain {environment} is tried again: {outcome}"
            self._tell_of("diagnostic", {"severity": "warning", "message": message})
            self._ready.extend(waiting)
            return
        self._run.environment_error = self._run.environment_error or outcome
        self._broken[environment] = f"toolchain {environment}: {outcome}"
        for name in waiting:
            self._skip(self._graph.actions[name], self._broken[environment])

    def _try_again(self, what: str) -> bool:
        self._tries[what] = self._tries.get(what, 0) + 1
        return self._tries[what] <= self._settings.retries

    def _failed(self, action: Action, failed: Failed) -> None:
        if failed.changed and self._attempt(action):
            self._ready.append(action.id)
        elif failed.environment and self._try_again(action.id):
            self._tell("warning", f"{failed.message}; it is tried again", action)
            self._ready.append(action.id)
        else:
            self._fail(action, failed)

    def _attempt(self, action: Action) -> bool:
        self._attempts[action.id] = self._attempts.get(action.id, 0) + 1
        return self._attempts[action.id] < ATTEMPTS

    def _damage(self, action: Action, error: CorruptObject) -> None:
        """A stored input was bad: whatever made it is a miss now."""
        times = self._damaged.get((action.id, error.digest), 0) + 1
        self._damaged[action.id, error.digest] = times
        if times > ATTEMPTS:
            raise StoreError(str(error), "the disk may be failing")
        self._tell("warning", f"a stored file was damaged and is made again ({error})", action)
        if all(name in self._run.standings for name in action.upstream()):
            self._demand(action)
        if not self._missing[action.id]:
            self._ready.append(action.id)

    def _finish_hit(self, action: Action, standing: Standing) -> None:
        if self._lease.is_open and standing.trace is not None:
            self._lease.add(o.digest for o in standing.trace.outputs.values())
            if self._needs_files(action.id) and not self._walk.present(standing.trace):
                self._ready.append(action.id)  # It was collected a moment ago.
                return
        self._run.standings[action.id] = standing
        self._compare(action, standing.trace)
        fields = {**self._fields(action), "cached": True, "key": standing.key, "seconds": 0.0}
        self._tell_of("action_finished", fields)
        self._settle(action)

    def _compare(self, action: Action, trace: Trace | None) -> None:
        """Where an action gave other bytes than before, all that was built on those is looked at again.

        An artifact must never ship with another one's figures.
        """
        before = self._reopened.pop(action.id, None)
        if before is None or trace is None:
            return
        if {n: o.digest for n, o in before.outputs.items()} == {
            n: o.digest for n, o in trace.outputs.items()
        }:
            return
        for name in self._consumers.get(action.id, ()):
            if name in self._run.standings:
                self._reopen(name)

    def _finish(self, action: Action, job: Job, outcome: Done) -> None:
        record = {name: v for name, v in job.manifest.items() if name != "discovered"}
        edited = self._edited(action, record)
        if edited is not None:
            self._again_after_change(action, edited)
            return
        if action.environment is not None:
            others = differences(outcome.imported, self._environments.versions(action.environment))
            if others is not None:
                self._fail(action, _imported_others(action.environment, others, outcome.log))
                return
        static = None
        if action.user_code:
            moved = self._moved(outcome)
            if moved is not None:
                self._again_after_change(action, moved)
                return
            static = keys.digest(record)
            record["discovered"] = outcome.discovered
        text = keys.canonical(record)
        key = keys.digest_of(text)
        trace = Trace(
            key,
            text.decode(),
            outcome.outputs,
            outcome.notes,
            outcome.seconds,
            outcome.peak_rss,
            time.time(),
        )
        self._walk.index.record(
            trace,
            keys.shape(action, self._walk.implementation(action)),
            action.slots,
            static,
            keys.canonical(outcome.discovered).decode() if action.user_code else None,
        )
        self._run.executed.append(action.id)
        self._run.logs[action.id] = outcome.log
        self._tell_of(
            "action_finished",
            {
                **self._fields(action),
                "cached": False,
                "key": key,
                "seconds": round(outcome.seconds, 3),
                "peak_rss_bytes": outcome.peak_rss,
                "phases": {name: round(each, 6) for name, each in outcome.phases.items()},
            },
        )
        if self._missing[action.id]:
            return  # Something above it is being made again: it is looked at once more then.
        if not self._is_of_now(action, job):
            self._ready.append(action.id)
            return
        self._run.standings[action.id] = Standing(State.HIT, record, key, static, trace)
        self._compare(action, trace)
        self._settle(action)

    def _is_of_now(self, action: Action, job: Job) -> bool:
        """Whether what an action ran on is still what those above it gave."""
        for name, given in action.inputs.items():
            if not isinstance(given, FileInput):
                trace = self._run.trace(given.action)
                if trace is None or trace.outputs[given.output].digest != job.inputs[name][1]:
                    return False
        return True

    def _edited(self, action: Action, record: Manifest) -> str | None:
        """A file of the user's that is not now what the key says."""
        for name, given in action.inputs.items():
            if (
                isinstance(given, FileInput)
                and self._walk.memo.of(given.path) != record["inputs"][name]
            ):
                return given.path.name
        now, then = self._walk.declared(action) or {}, record.get("files") or {}
        differ = sorted(n for n in now.keys() | then.keys() if now.get(n) != then.get(n))
        return differ[0] if differ else None

    def _moved(self, outcome: Done) -> str | None:
        """A file that the model's code read and that is not now what it was then."""
        for path, digest in outcome.discovered.items():
            if self._walk.discovered_digest(path) != digest:
                return path
            with contextlib.suppress(OSError):
                status = (self._project / path).stat()
                # Only the system sets the time of the last change; that of the content is anybody's.
                if status.st_ctime_ns > outcome.started_ns and not path.endswith(("/", MODULES)):
                    return path
        return None

    def _again_after_change(self, action: Action, what: str) -> None:
        name = what.partition(PRESENCE)[0]
        message = f"{name} changed while {action.rule} ran; what it gave is not kept"
        if self._attempt(action):
            self._tell("warning", message, action)
            if not self._missing[action.id]:
                self._ready.append(action.id)
        else:
            self._fail(action, Failed(message, "run the build again when nothing writes there"))

    def _fail(self, action: Action, failed: Failed) -> None:
        self._run.failures[action.id] = failed
        self._run.executed.append(action.id)
        if failed.log is not None:
            self._run.logs[action.id] = failed.log
        hint, instead = ways_out.of_failure(self._graph, self._run.failures, action.id)
        self._tell("error", failed.message, action, hint=hint, instead=list(instead))
        self._settle(action)

    # Telling

    def _tell(self, severity: str, message: str, action: Action, **more: Any) -> None:
        said = {"severity": severity, "message": message, **more, **self._fields(action)}
        self._tell_of("diagnostic", said)

    def _tell_of(self, event: str, fields: dict[str, Any]) -> None:
        at = round(time.monotonic() - self._began, 6)
        self._listener(Event(event, {**fields, "at": at}))

    @staticmethod
    def _fields(action: Action) -> dict[str, Any]:
        return {
            "id": action.id,
            "rule": action.rule,
            "toolchain": action.environment,
            "deployable": action.labels[0] if action.labels else None,
        }


def _imported_others(environment: str, others: str, log: Path) -> Failed:
    """The failure of a step that did not run on what its key says."""
    where = "the host's own environment" if environment == "host" else f"toolchain {environment}"
    return Failed(
        f"it imported {others}: {where} changed while the build ran; what the step gave is not kept",
        "run the build again when nothing installs there",
        log=log,
    )


def _claim_key(standing: Standing) -> str:
    """What an action that is to run is claimed and named by: its key, as far as that is known."""
    return standing.key or standing.static or keys.digest(standing.manifest)
