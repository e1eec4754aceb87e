"""Runs an action on this machine: a folder of its own, a process of its own, a listed environment."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import buildsys.toolchains
from buildsys.backends.kit.run.machine import machine_name
from buildsys.engine.executors.executor import Capacity
from buildsys.engine.executors.folder import ActionFolder, ActionFolders, step
from buildsys.engine.executors.job import Done, Failed, Job, JobSpec, Outcome
from buildsys.engine.executors.logs import Logs
from buildsys.engine.executors.processes.ended import Ended
from buildsys.engine.executors.processes.host import signal_name
from buildsys.engine.executors.processes.hosts import FORKS, Hosts
from buildsys.engine.executors.processes.memory import MemoryLimits
from buildsys.engine.executors.processes.single import Processes
from buildsys.engine.executors.processes.tree import kill_strays
from buildsys.engine.executors.temporary import TemporaryFolders
from buildsys.engine.executors.variables import worker_environment
from buildsys.engine.executors.watch import Watch
from buildsys.engine.memory import free_memory
from buildsys.store import Store

PROGRAM = Path(buildsys.toolchains.__file__).parent / "inside" / "program.py"
TAIL_LINES = 20
BUILT_IN_STEPS = "built-in"
"""What the host is known by of the steps that are ours and need no toolchain."""
OUT_OF_MEMORY = "the machine may be out of memory: try `-j1`"


class LocalExecutor:
    """Makes `work/<key>-…/` below the store's root, runs the worker there, stores the outputs.

    A failed action's folder is kept, with its log and `rerun.sh`. Safe for several threads.

    Args:
        store: Where inputs come from and outputs go.
        warm: Whether an environment's imports are shared by its actions. It changes no bytes.
        variables: Environment variables for workers, besides the listed ones or instead of them.
        warn: Called with messages about this machine that the user should see.

    Attributes:
        processes_started: How many: hosts, their children, and processes of a single action.
    """

    def __init__(
        self,
        store: Store,
        warm: bool = True,
        variables: Mapping[str, str] | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._store = store
        self._variables = dict(variables or {})
        self.processes_started = 0
        self._guard = threading.Lock()
        self._folders = ActionFolders(store, TemporaryFolders(warn=warn))
        self._processes = Processes()
        self._watch = Watch()
        self._limits = MemoryLimits()
        self._logs = Logs()
        self._hosts = Hosts(store.root / "work", PROGRAM, counter(self))
        self._warm = warm and FORKS
        self._stopping = False
        self._closed = False
        self._warn = warn
        # Hosts end with the process in any case; this is for an executor that is dropped before.
        weakref.finalize(self, self._hosts.close)
        weakref.finalize(self, self._folders.close)

    def capacity(self) -> Capacity:
        """What is free of this machine now; its named resources are the user's to say."""
        return Capacity(os.cpu_count() or 1, free_memory())

    def machine(self) -> str:
        """The name of this machine."""
        return machine_name()

    def count(self) -> None:
        """Counts a process."""
        with self._guard:
            self.processes_started += 1

    def run(self, job: Job) -> Outcome:
        """Does the step and puts what it made into the store.

        Raises:
            CorruptObject: An input in the store is missing or altered.
            StoreError: The store or the action's folder cannot be written.
        """
        outcome = self._attempt(job, alone=False)
        if not isinstance(outcome, Failed) or not outcome.lost or self._closed:
            return outcome
        # Any step of that host may have killed it. In hosts of their own those that did not go
        # well, and the one that did is found out.
        self._warn(f"{outcome.message}; `{job.spec.rule}` runs again, in one of its own")
        return self._attempt(job, alone=True)

    def _attempt(self, job: Job, alone: bool) -> Outcome:
        started = time.monotonic()
        folder = self._folders.make(job.spec)
        keep = False
        try:
            changed = folder.copy_inputs()
            if changed is not None:
                message = f"{changed} changed while the build was looking at it"
                return Failed(message, changed=True)
            inputs = time.monotonic() - started
            with self._watch.of(folder.telling, job.told):
                outcome = self._step(job.spec, folder, inputs, alone)
            if isinstance(outcome, Done) and folder.resume is not None:
                shutil.rmtree(folder.resume, ignore_errors=True)
            keep = isinstance(outcome, Failed) and outcome.log is not None and not outcome.lost
            return outcome
        finally:
            self._folders.give_back(folder, keep)

    def prepare(self, spec: JobSpec, done: Callable[[], None]) -> None:
        """Has an environment import what a step needs that will come up; `done` is called after that."""
        if not self._warm or spec.python is None:
            done()
            return
        work = self._store.root / "work"
        variables = worker_environment(spec.python, spec.threads, work, work) | self._variables
        self._hosts.prepare(_environment(spec), spec.python, variables, step(spec), done)

    def stop(self) -> None:
        """Kills every worker, with all that it started."""
        self._stopping = True
        self._hosts.stop()
        self._processes.stop()

    def close(self) -> None:
        """Ends the hosts; what still runs in them is killed."""
        self._closed = True
        self._hosts.close()
        self._folders.close()

    def retire(self, environment: str) -> None:
        """Frees the memory of an environment that no further action needs."""
        self._hosts.retire(environment)

    def _step(self, spec: JobSpec, folder: ActionFolder, inputs: float, alone: bool) -> Outcome:
        """A step of a worker."""
        folder.write_request()
        python = _python(spec)
        command = [str(python), "-s", "-P", str(PROGRAM), str(folder.request)]
        variables = worker_environment(python, spec.threads, folder.path, folder.temporary)
        variables |= self._variables
        ended = self._ended(spec, folder, command, variables, alone)
        result = folder.result()
        if result.get("ok"):
            done = _done(folder, result, ended, inputs)
            if not isinstance(done, str):
                return done
            result, ended = {"crash": done}, replace(ended, code=0, timed_out=False, lost=None)
        failed = self._failure(spec, result, ended, alone)
        rerun = folder.write_rerun(command, variables)
        return replace(failed, log=folder.log, rerun=rerun, seconds=ended.seconds)

    def _ended(
        self,
        spec: JobSpec,
        folder: ActionFolder,
        command: list[str],
        variables: dict[str, str],
        alone: bool,
    ) -> Ended:
        """Has the work done, by a host where that is the same as a process of its own."""
        pids: list[int] = []

        def begun(pid: int) -> None:
            pids.append(pid)
            if spec.memory is not None:
                self._limits.hold(pid, spec.memory)

        recording = self._logs.begin(folder.log, folder.pipe)
        try:
            ended = self._run(spec, folder, command, variables, begun, alone)
        finally:
            self._logs.end(recording)
            taken = [self._limits.release(pid) for pid in pids]
        return replace(ended, excess=next((each for each in taken if each is not None), None))

    def _run(
        self,
        spec: JobSpec,
        folder: ActionFolder,
        command: list[str],
        variables: dict[str, str],
        begun: Callable[[int], None],
        alone: bool,
    ) -> Ended:
        wait = 0.0
        if self._warm:
            python, given = _python(spec), (folder.request, variables, spec.timeout, begun)
            if alone:
                ended = self._hosts.run_alone(python, *given)
            else:
                ended = self._hosts.run(_environment(spec), python, *given)
            if isinstance(ended, Ended):
                if ended.lost is not None:
                    kill_strays(variables["HOME"])
                return ended
            wait = ended.wait
        self.count()
        scratch = folder.path / "scratch"
        ended = self._processes.run(command, variables, scratch, folder.pipe, spec.timeout, begun)
        return replace(ended, wait=wait)

    def _failure(self, spec: JobSpec, result: dict[str, Any], ended: Ended, alone: bool) -> Failed:
        """Says what went wrong, in the order of how much is known of it.

        Args:
            spec: The step.
            result: What it said itself; empty where it did not get to that.
            ended: How it ended.
            alone: Whether no other step ran in its host.
        """
        error = result.get("error")
        if error:
            return Failed(error["message"], error["hint"], error["field"])
        if self._stopping:
            return Failed("the build was stopped")
        if ended.excess is not None and spec.memory is not None:
            message = f"killed: it took {_gib(ended.excess)} of memory, above the limit of "
            message += _gib(spec.memory)
            return Failed(message, "raise `--memory`, or `memory` in config.toml")
        where = _described(spec.environment)
        if ended.timed_out and ended.lost is not None:
            message = f"{where} was not ready within {spec.timeout:.0f} s"
            return Failed(message, "raise `--timeout`", environment=True)
        if ended.timed_out:
            return Failed(f"killed after {spec.timeout:.0f} s", "raise `--timeout`")
        if ended.lost is not None:
            message = f"the process that hosts {where} {ended.lost}"
            if not alone:
                return Failed(message, OUT_OF_MEMORY, environment=True, lost=True)
            message += ", and again with this step alone in it: the step ends it"
            return Failed(message, "find out what the step kills besides its own processes")
        if ended.code == -signal.SIGKILL:
            return Failed(f"killed by SIGKILL, in {where}", OUT_OF_MEMORY, environment=True)
        if ended.code < 0:
            return Failed(f"killed by {signal_name(-ended.code)}")
        crash = result.get("crash") or f"the worker ended with status {ended.code} and no result"
        if crash.startswith("MemoryError"):
            return Failed(crash, OUT_OF_MEMORY, environment=True)
        return Failed(crash)


def counter(executor: LocalExecutor) -> Callable[[], None]:
    """Counts the processes of an executor without keeping it alive: listeners hold this."""
    known = weakref.ref(executor)

    def count() -> None:
        found = known()
        if found is not None:
            found.count()

    return count


def _done(
    folder: ActionFolder,
    result: dict[str, Any],
    ended: Ended,
    inputs: float,
) -> Done | str:
    """Stores the outputs; a sentence when they are not what was declared."""
    finished = time.monotonic()
    stored = folder.store_outputs()
    if isinstance(stored, str):
        return stored
    return Done(
        stored,
        tuple(result["notes"]),
        {row["path"]: row["digest"] for row in result["discovered"]},
        ended.started_ns,
        ended.seconds,
        ended.peak_rss,
        folder.keep_log(),
        {
            "inputs": inputs,
            "wait": ended.wait,
            "work": ended.seconds,
            "store": time.monotonic() - finished,
        },
        ended.cpu,
        tuple((name, version) for name, version in result.get("imported", ())),
    )


def _python(spec: JobSpec) -> Path:
    """The interpreter of a job."""
    return Path(sys.executable) if spec.python is None else spec.python


def _environment(spec: JobSpec) -> str:
    """What the host of a job's environment is known by."""
    return BUILT_IN_STEPS if spec.python is None else spec.environment or str(spec.python)


def _gib(size: int) -> str:
    """Bytes, in words."""
    return f"{size / 2**30:.2f} GiB"


def _described(environment: str | None) -> str:
    """An environment's name, in words."""
    if environment is None:
        return "modelbuild's own environment"
    if environment == "host":
        return "the host's own environment"
    if environment.startswith("requirements:"):
        return f"the environment of `{Path(environment).name}`"
    return f"toolchain `{environment}`"


def log_tail(log: Path) -> list[str]:
    """The last lines of a log, for the console."""
    try:
        return log.read_text(errors="replace").rstrip().splitlines()[-TAIL_LINES:]
    except OSError:
        return []
