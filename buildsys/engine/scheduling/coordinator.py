"""Runs an action graph.

The strategy, in five points:
- The coordinator looks at an action as soon as everything above it is decided, with the same code as
  `plan`. A hit costs nothing, and each action is looked at once unless something under it moved.
- What has to run goes to threads, each of which minds one worker. The thread that called `run`
  coordinates: it alone opens the index, and it writes one transaction a finished action.
- Of several builds that want an action at once, the one that holds its claim runs it; the others
  wait, and look again.
- An environment is made when the first action that needs it comes up, beside whatever else is running.
- A stored file that is gone or damaged is made again when something needs it; an input that changed
  meanwhile is looked at again. Nothing of a failed action is kept but its folder and log.

Where each action is, and which moves are allowed, is in `states`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType

from buildsys.engine.environments import Environments
from buildsys.engine.executors import Done, Failed, Job, Outcome
from buildsys.engine.executors.executor import Executor
from buildsys.engine.listener import Listener
from buildsys.engine.outcome import ways_out
from buildsys.engine.run import Run, Settings
from buildsys.engine.scheduling import schedule
from buildsys.engine.scheduling.claims import OURS, Claims
from buildsys.engine.scheduling.lease import Lease
from buildsys.engine.scheduling.messages import (
    EnvironmentMade,
    Finished,
    Message,
    ThreadPool,
    Threads,
)
from buildsys.engine.scheduling.prefetch import Prefetch
from buildsys.engine.scheduling.reporting import Reporter
from buildsys.engine.scheduling.states import ActionState, ActionTable, Node
from buildsys.engine.scheduling.toolchain_setup import ToolchainSetup
from buildsys.engine.staleness import freshness, keys
from buildsys.engine.staleness.imported import differences
from buildsys.engine.staleness.walk import Standing, State, Walk, roots
from buildsys.planner.graph import Action, FileInput
from buildsys.store import CorruptObject, StoreError, Trace
from buildsys.store.index import Expense
from buildsys.toolchains.inside.program import PRESENCE

ATTEMPTS = 3
POLL = 0.05
"""Seconds between two looks at an action that another build is running."""


class Coordinator:
    """Runs one graph once.

    Args:
        walk: The graph, and how to look at it.
        environments: Where workers run.
        executor: What runs them.
        project: The recipe's folder.
        settings: How to run.
        listener: Receives the build's events.
        claims: Which actions this build runs, of those that several want.
        lease: Keeps what this build uses from being collected.
        threads: Makes the threads that mind workers, given how many there are at most.
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
        threads: Callable[[int], Threads] = ThreadPool,
    ) -> None:
        graph = walk.graph
        self._walk = walk
        self._graph = graph
        self._environments = environments
        self._executor = executor
        self._project = project
        self._settings = settings
        self._claims = claims
        self._lease = lease
        self._report = Reporter(listener)
        self._run = Run()
        needed = roots(graph.deployables) | {ref.action for ref in graph.wanted}
        self._table = ActionTable(graph.actions, needed)
        self._queue = schedule.Queue(lambda name: self._remaining[name])
        self._capacity = executor.capacity()
        jobs = settings.jobs or self._capacity.slots
        # Two more, so that environments are made beside what runs.
        self._threads = threads(jobs + 2)
        self._setup = ToolchainSetup(environments, self._threads, self._report, settings.retries)
        self._prefetch = Prefetch(self._table, walk, self._setup, executor, self._threads, jobs)
        self._room = schedule.Room(
            jobs,
            self._capacity.memory if settings.memory is None else settings.memory,
            {**self._capacity.resources, **settings.resources},
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
        try:
            while True:
                self._advance()
                elsewhere = self._table.any_in(ActionState.ELSEWHERE)
                running = self._table.any_in(ActionState.RUNNING)
                if not (running or elsewhere or self._setup.busy):
                    break
                message = self._threads.next(POLL if elsewhere else None)
                if message is not None:
                    self._take(message)
        except BaseException:
            self._executor.stop()
            self._environments.stop()
            raise
        finally:
            self._threads.close()
            self._claims.give_back_all()
        for node in self._table:
            if not node.decided:
                self._run.skipped[node.id] = "an earlier step failed"
                self._table.move(node, ActionState.SKIPPED)
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

    def _advance(self) -> None:
        """Looks at all that can be looked at, then starts what there is room for."""
        for other in self._table.in_state(ActionState.ELSEWHERE):
            self._enqueue(other)  # It may be free by now; to ask is to try.
        while True:
            while (node := self._table.next_ready()) is not None:
                self._look(node)
            if self._stopped() or self._room.full:
                break
            chosen = self._queue.take(self._fits)
            if chosen is None:
                break
            self._start(chosen)
        if not self._stopped():
            action = self._prefetch.next_job(self._remaining)
            if action is not None:
                self._prefetch.start(self._job_of(action).spec)

    def _enqueue(self, node: Node) -> None:
        self._table.move(node, ActionState.QUEUED)
        self._queue.add(node)

    def _fits(self, node: Node) -> bool:
        return self._room.fits(self._expected[node.id].peak_rss, node.action.resources)

    def _stopped(self) -> bool:
        """Whether so many steps failed that nothing new starts."""
        limit = self._settings.max_failures
        failed = len(self._run.failures) + (self._setup.error is not None)
        return limit is not None and failed >= limit

    def _look(self, node: Node) -> None:
        """Decides what a ready action needs: nothing, its environment, or a run."""
        action = node.action
        reason = self._given_up(node)
        if reason is not None:
            self._skip(node, reason)
            return
        standing = node.standing = self._walk.standing(action, self._run.standings)
        if self._suffices(node, standing):
            self._finish_hit(node, standing)
        elif standing.state is State.BLOCKED:
            self._run.standings[node.id] = standing
            self._skip(node, standing.reason or "")
        elif (lacking := self._room.lacks(action.resources)) is not None:
            self._skip(node, f"needs more `{lacking}` than this machine has")
        elif self._stopped():
            pass  # Nothing new starts after too many failures; hits are still taken.
        elif (broken := self._setup.broken(action.environment)) is not None:
            self._skip(node, broken)
        elif action.environment is not None and not self._setup.is_made(action.environment):
            self._table.move(node, ActionState.SETUP)
            self._setup.start(action.environment)
        else:
            self._enqueue(node)

    def _given_up(self, node: Node) -> str | None:
        """Why an action will not be run, where one above it gave nothing."""
        for above in self._table.above(node):
            if above.state is ActionState.FAILED:
                return f"{above.action.rule} failed"
            if above.state is ActionState.SKIPPED:
                return self._run.skipped[above.id]
        return None

    @staticmethod
    def _suffices(node: Node, standing: Standing) -> bool:
        """Whether what is known of an action is all that this build needs of it."""
        return standing.state is State.HIT or (standing.lost and not node.needed)

    def _start(self, node: Node) -> None:
        self._begin()
        if node.state is not ActionState.QUEUED:
            return  # What is above it was taken back since.
        job = self._claimed(node)
        if job is None:
            return
        if self._demand(node):
            self._claims.give_back(job.spec.key)
            return  # It comes up again when they are there.
        node.job = job
        self._table.move(node, ActionState.RUNNING)
        self._room.take(node.id, self._expected[node.id].peak_rss, node.action.resources)
        self._report.started(node.action)

        def work() -> Message:
            outcome: Outcome | BaseException
            try:
                outcome = self._executor.run(job)
            except OSError as error:  # Its interpreter does not start, for example.
                outcome = Failed(f"no worker could be run: {error}", environment=True)
            except BaseException as caught:
                outcome = caught
            return Finished(job, outcome)

        self._threads.submit(work)

    def _begin(self) -> None:
        """Before the first action runs: says what this build uses, then looks whether it is there."""
        if self._lease.is_open:
            return
        self._lease.open()
        traces = [*self._walk.known.traces.values()]
        traces += [s.trace for s in self._run.standings.values() if s.trace is not None]
        self._lease.add(o.digest for trace in traces for o in trace.outputs.values())
        for node in self._table:
            if node.state is ActionState.DONE and node.needed and self._is_gone(node):
                self._take_back(node)

    def _is_gone(self, node: Node) -> bool:
        """Whether files of an action's result are not in the store any more."""
        trace = self._run.trace(node.id)
        return trace is not None and not self._walk.present(trace)

    def _claimed(self, node: Node) -> Job | None:
        """The job of an action that is ours to run; `None` where it is not, or not any more."""
        assert node.standing is not None
        key = _claim_key(node.standing)
        for other in self._table.in_state(ActionState.RUNNING):
            if other.job is not None and other.job.spec.key == key:
                self._table.move(node, ActionState.SHARED)
                return None
        holder = self._claims.take(key)
        if holder is not None:
            self._table.move(node, ActionState.ELSEWHERE)
            if holder not in (OURS, node.holder):
                node.holder = holder
                self._report.waiting(node.action, holder)
            return None
        # Whoever had it may have finished it, and files may have changed, since we looked.
        now = node.standing = self._walk.standing(node.action, self._run.standings)
        if self._suffices(node, now):
            self._claims.give_back(key)
            self._finish_hit(node, now)
            return None
        if _claim_key(now) != key:
            self._claims.give_back(key)
            self._table.look_again(node)
            return None
        job = self._job(node, now)
        if job is None:
            self._claims.give_back(key)
        return job

    def _job(self, node: Node, standing: Standing) -> Job | None:
        """What to run; `None` where a file of the user's is not there, which is a failure."""
        action = node.action
        inputs: dict[str, tuple[Path | None, str]] = {}
        for name, given in action.inputs.items():
            path = given.path if isinstance(given, FileInput) else None
            digest = standing.manifest["inputs"][name]
            if digest is None:
                self._fail(node, Failed(f"{path} does not exist"))
                return None
            inputs[name] = (path, digest)
        return self._job_of(action, _claim_key(standing), inputs, standing.manifest)

    def _job_of(
        self,
        action: Action,
        key: str = "",
        inputs: Mapping[str, tuple[Path | None, str]] = MappingProxyType({}),
        manifest: keys.Manifest | None = None,
    ) -> Job:
        """The job of an action; without a key and inputs one to import for."""
        slots = self._capacity.slots
        return Job.of(
            action,
            key,
            inputs,
            python=self._environments.python(action.environment) if action.environment else None,
            project=self._project if action.user_code else None,
            threads=slots // max(1, min(self._room.jobs, slots)),
            timeout=self._settings.timeout,
            memory=self._settings.memory,
            room=self._room.memory,
            manifest=manifest or {},
            told=partial(self._report.progress, action),
        )

    # What comes back

    def _take(self, message: Message) -> None:
        if isinstance(message, Finished):
            self._step_ended(message)
        elif isinstance(message, EnvironmentMade):
            self._setup.ended(message)
            self._run.environment_error = self._setup.error
            for node in self._table.in_state(ActionState.SETUP):
                if node.action.environment == message.environment:
                    broken = self._setup.broken(message.environment)
                    if broken is not None:
                        self._skip(node, broken)
                    else:
                        self._table.look_again(node)
        else:
            self._prefetch.warmed(message.environment)

    def _step_ended(self, message: Finished) -> None:
        job, outcome = message.job, message.outcome
        node = self._table[job.action.id]
        node.job = None
        self._room.give_back(node.id)
        self._prefetch.warmed(node.action.environment)
        try:
            if isinstance(outcome, CorruptObject):
                self._input_damaged(node, outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            elif isinstance(outcome, Failed):
                self._failed(node, outcome)
            else:
                self._finish(node, job, outcome)
        finally:
            self._claims.give_back(job.spec.key)
        for other in self._table.in_state(ActionState.SHARED):
            if other.standing is not None and _claim_key(other.standing) == job.spec.key:
                self._table.look_again(other)

    def _failed(self, node: Node, failed: Failed) -> None:
        if failed.changed and self._may_change_again(node):
            self._table.look_again(node)
        elif failed.environment and node.retries < self._settings.retries:
            node.retries += 1
            self._report.warning(f"{failed.message}; it is tried again", node.action)
            self._table.look_again(node)
        else:
            self._fail(node, failed)

    @staticmethod
    def _may_change_again(node: Node) -> bool:
        """Counts a change of an input; whether another attempt is worth it."""
        node.changes += 1
        return node.changes < ATTEMPTS

    def _input_damaged(self, node: Node, error: CorruptObject) -> None:
        """A stored input was bad: whatever made it is a miss now."""
        times = node.damaged[error.digest] = node.damaged.get(error.digest, 0) + 1
        if times > ATTEMPTS:
            raise StoreError(str(error), "the disk may be failing")
        message = f"a stored file was damaged and is made again ({error})"
        self._report.warning(message, node.action)
        if not node.undecided:
            self._demand(node)
        self._table.look_again(node)

    def _finish(self, node: Node, job: Job, outcome: Done) -> None:
        """Records what a step gave, unless its inputs changed meanwhile."""
        action = node.action
        record = {name: v for name, v in job.manifest.items() if name != "discovered"}
        changed = freshness.edited_file(self._walk, action, record)
        if changed is not None:
            self._inputs_changed(node, changed)
            return
        if action.environment is not None:
            others = differences(outcome.imported, self._environments.versions(action.environment))
            if others is not None:
                self._fail(node, _imported_others(action.environment, others, outcome.log))
                return
        static = None
        if action.user_code:
            changed = freshness.changed_read(self._walk, self._project, outcome)
            if changed is not None:
                self._inputs_changed(node, changed)
                return
            static = keys.digest(record)
            record["discovered"] = outcome.discovered
        trace = self._recorded(action, record, static, outcome)
        self._run.executed.append(action.id)
        self._run.logs[action.id] = outcome.log
        self._report.finished(action, trace.key, outcome)
        if node.undecided or not freshness.is_current(job, self._run.standings):
            self._table.look_again(node)  # Something above it was, or is being, made again.
            return
        self._decide(node, Standing(State.HIT, record, trace.key, static, trace))

    def _recorded(
        self, action: Action, record: keys.Manifest, static: str | None, outcome: Done
    ) -> Trace:
        """Writes a step's result into the index."""
        text = keys.canonical(record)
        trace = Trace(
            keys.digest_of(text),
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
        return trace

    def _inputs_changed(self, node: Node, what: str) -> None:
        name = what.partition(PRESENCE)[0]
        message = f"{name} changed while {node.action.rule} ran; what it gave is not kept"
        if self._may_change_again(node):
            self._report.warning(message, node.action)
            self._table.look_again(node)
        else:
            self._fail(node, Failed(message, "run the build again when nothing writes there"))

    # What becomes of actions

    def _finish_hit(self, node: Node, standing: Standing) -> None:
        if self._lease.is_open and standing.trace is not None:
            self._lease.add(o.digest for o in standing.trace.outputs.values())
            if node.needed and not self._walk.present(standing.trace):
                self._table.look_again(node)  # It was collected a moment ago.
                return
        self._report.hit(node.action, standing)
        self._decide(node, standing)

    def _decide(self, node: Node, standing: Standing) -> None:
        """An action's result is known.

        Where it differs from the one that was taken back, all that was built on that is looked at again:
        an artifact must never ship with another one's figures.
        """
        node.standing = self._run.standings[node.id] = standing
        before, node.taken_back = node.taken_back, None
        now = standing.trace
        if before is not None and now is not None and not freshness.same_outputs(before, now):
            for below in node.below:
                if below.state is ActionState.DONE:
                    self._take_back(below)
        self._settle(node, ActionState.DONE)

    def _fail(self, node: Node, failed: Failed) -> None:
        self._run.failures[node.id] = failed
        self._run.executed.append(node.id)
        if failed.log is not None:
            self._run.logs[node.id] = failed.log
        hint, instead = ways_out.of_failure(self._graph, self._run.failures, node.id)
        self._report.error(failed.message, node.action, hint, instead)
        self._settle(node, ActionState.FAILED)

    def _skip(self, node: Node, reason: str) -> None:
        self._run.skipped[node.id] = reason
        self._settle(node, ActionState.SKIPPED)

    def _settle(self, node: Node, state: ActionState) -> None:
        self._table.move(node, state)
        environment = node.action.environment
        if environment is not None and not self._table.environments[environment]:
            self._executor.retire(environment)

    def _take_back(self, node: Node) -> None:
        """Takes back an action's result, so that the action is looked at again."""
        node.taken_back = self._run.standings.pop(node.id).trace or node.taken_back
        self._table.look_again(node)

    def _demand(self, node: Node) -> bool:
        """Has the inputs of an action made again whose files are gone; whether there are any."""
        gone = [above for above in self._table.above(node) if self._is_gone(above)]
        for above in gone:
            above.needed = True
            self._take_back(above)
        return bool(gone)


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
