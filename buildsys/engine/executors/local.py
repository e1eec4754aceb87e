"""Runs an action on this machine: a folder of its own, a process of its own, a listed environment."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import buildsys.toolchains
from buildsys.backends.kit.request import Request, StepError
from buildsys.engine.executors.job import Done, Failed, Job, Outcome
from buildsys.planner.catalog import BUILT_IN
from buildsys.planner.graph import Action
from buildsys.store import Store, Stored
from buildsys.store.content import hash_file, tree_digest, tree_files, tree_manifest, writing

WORKER_HOST = Path(buildsys.toolchains.__file__).parent / "worker_host.py"
TAIL_LINES = 20


class LocalExecutor:
    """Makes `work/<key>-…/` below the store's root, runs the worker there, stores the outputs.

    A failed action's folder is kept, with its log and `rerun.sh`.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._guard = threading.Lock()
        self._stopping = False
        self.processes_started = 0

    def run(self, job: Job) -> Outcome:
        """Does the step and puts what it made into the store.

        Raises:
            CorruptObject: An input in the store is missing or altered.
            StoreError: The store or the action's folder cannot be written.
        """
        work = self._store.root / "work"
        with writing(work):
            work.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=f"{job.key[:16]}-", dir=work))
            for name in ("in", "out", "scratch/tmp"):
                (folder / name).mkdir(parents=True)
        keep = False
        try:
            changed = self._copy_inputs(job, folder)
            if changed is not None:
                return changed
            outcome = (
                self._host_step(job, folder) if job.python is None else self._step(job, folder)
            )
            keep = isinstance(outcome, Failed) and outcome.log is not None
            return outcome
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)

    def retire(self, environment: str) -> None:
        """Nothing is kept alive."""

    def close(self) -> None:
        """Nothing is kept alive."""

    def stop(self) -> None:
        """Kills every worker, with all that it started."""
        self._stopping = True
        with self._guard:
            for process in self._running.values():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _copy_inputs(self, job: Job, folder: Path) -> Failed | None:
        """Copies the inputs in. What runs later is what was hashed, whatever is edited meanwhile."""
        for name, (path, digest) in job.inputs.items():
            target = self._input_path(folder, name, path, digest)
            if path is None:
                self._store.restore(digest, target, writable=False)
                continue
            try:
                with writing(folder):
                    (shutil.copytree if path.is_dir() else shutil.copy)(path, target)
                same = self._digest(target) == digest
            except (FileNotFoundError, shutil.Error):
                same = False
            if not same:
                message = f"{path.name} changed while the build was looking at it"
                return Failed(message, changed=True)
        return None

    @staticmethod
    def _input_path(folder: Path, name: str, path: Path | None, digest: str) -> Path:
        # A worker may go by a checkpoint's suffix, so a user's file keeps it.
        return folder / "in" / (name + (path.suffix if path is not None else ""))

    @staticmethod
    def _digest(path: Path) -> str:
        if not path.is_dir():
            return hash_file(path)
        rows = [(n, hash_file(f), f.stat().st_size) for n, f in tree_files(path)]
        return tree_digest(tree_manifest(rows))

    def _paths(self, job: Job, folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
        inputs = {n: self._input_path(folder, n, p, d) for n, (p, d) in job.inputs.items()}
        outputs = {o.name: folder / "out" / o.name / o.filename for o in job.action.outputs}
        for path in outputs.values():
            path.parent.mkdir()
        return inputs, outputs

    def _host_step(self, job: Job, folder: Path) -> Outcome:
        """A step of the coordinator: pure numpy, no process."""
        inputs, outputs = self._paths(job, folder)
        request = Request(inputs, outputs, job.action.options, folder / "scratch")
        module_name, _, function_name = job.action.worker.function.partition(":")
        started = time.time_ns()
        try:
            getattr(importlib.import_module(module_name), function_name)(request)
        except StepError as error:
            return Failed(error.message, error.hint, error.field)
        except Exception as error:
            log = folder / "log.txt"
            log.write_text(traceback.format_exc())
            return Failed(f"{type(error).__name__}: {error}", log=log)
        seconds = (time.time_ns() - started) / 1e9
        stored = self._store_outputs(job.action, outputs)
        if isinstance(stored, str):
            return Failed(stored)
        return Done(stored, tuple(request.notes), {}, started, seconds, 0, folder)

    def _step(self, job: Job, folder: Path) -> Outcome:
        inputs, outputs = self._paths(job, folder)
        worker = job.action.worker
        spec: dict[str, Any] = {
            "action": str(folder),
            "backends": str(BUILT_IN),
            "backend": worker.backend,
            "worker": worker.function,
            "inputs": {n: str(p) for n, p in inputs.items()},
            "outputs": {n: str(p) for n, p in outputs.items()},
            "options": job.action.options,
            "scratch": str(folder / "scratch"),
            "project": str(job.project) if job.project else None,
            "threads": job.threads,
        }
        if worker.folder is not None and worker.folder.parent != BUILT_IN:
            spec["folder"] = str(worker.folder)
        request = folder / "request.json"
        with writing(folder):
            request.write_text(json.dumps(spec, indent=1))
        log = folder / "log.txt"
        started_ns = time.time_ns()
        code, peak_rss, timed_out = self._process(job, folder, request, log)
        seconds = (time.time_ns() - started_ns) / 1e9
        result = self._result(folder)
        if not result.get("ok"):
            return self._failure(job, folder, log, result, code, seconds, timed_out)
        stored = self._store_outputs(job.action, outputs)
        if isinstance(stored, str):
            return self._failure(job, folder, log, {"crash": stored}, code, seconds, False)
        kept = self._store.root / "logs" / f"{job.key[:16]}.log"
        with writing(kept):
            kept.parent.mkdir(exist_ok=True)
            shutil.move(log, kept)
        return Done(
            stored,
            tuple(result["notes"]),
            {row["path"]: row["digest"] for row in result["discovered"]},
            started_ns,
            seconds,
            peak_rss,
            kept,
        )

    def _process(self, job: Job, folder: Path, request: Path, log: Path) -> tuple[int, int, bool]:
        """Starts the worker and waits: exit code, peak memory in bytes, whether it was too slow."""
        command = [str(job.python), "-s", "-P", str(WORKER_HOST), str(request)]
        environment = worker_environment(job, folder)
        self._write_rerun(folder, command, environment)
        timed_out = threading.Event()
        with writing(log), log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=folder / "scratch",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with self._guard:
            self._running[process.pid] = process
            self.processes_started += 1
        if self._stopping:
            self.stop()

        def kill() -> None:
            timed_out.set()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(job.timeout, kill)
        timer.daemon = True
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
            with self._guard:
                del self._running[process.pid]
        process.returncode = os.waitstatus_to_exitcode(status)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # What the worker left behind goes with it.
        unit = 1 if sys.platform == "darwin" else 1024
        return process.returncode, usage.ru_maxrss * unit, timed_out.is_set()

    @staticmethod
    def _result(folder: Path) -> dict[str, Any]:
        try:
            result: dict[str, Any] = json.loads((folder / "result.json").read_text())
        except (OSError, ValueError):
            return {}
        return result

    def _store_outputs(self, action: Action, outputs: dict[str, Path]) -> dict[str, Stored] | str:
        """Checks and stores what was declared; a sentence when something is missing or empty."""
        for declared in action.outputs:
            path = outputs[declared.name]
            if not path.exists():
                return f"ended well but did not write {declared.filename}"
            if (declared.kind == "tree") != path.is_dir():
                return f"wrote {declared.filename} as something else than declared"
            sizes = (
                [f.stat().st_size for _, f in tree_files(path)]
                if path.is_dir()
                else [path.stat().st_size]
            )
            if not any(sizes):
                return f"ended well but left {declared.filename} empty"
        return {name: self._store.put(path) for name, path in outputs.items()}

    def _failure(
        self,
        job: Job,
        folder: Path,
        log: Path,
        result: dict[str, Any],
        code: int,
        seconds: float,
        timed_out: bool,
    ) -> Failed:
        rerun = folder / "rerun.sh"
        error = result.get("error")
        if error:
            return Failed(error["message"], error["hint"], error["field"], log, rerun, seconds)
        if timed_out:
            message = f"killed after {job.timeout:.0f} s"
            return Failed(message, "raise `--timeout`", None, log, rerun, seconds)
        if code < 0:
            name = signal.Signals(-code).name
            message = f"killed by {name}"
            hint = "the machine may be out of memory: try `-j1`" if name == "SIGKILL" else None
            return Failed(message, hint, None, log, rerun, seconds)
        crash = result.get("crash") or f"the worker ended with status {code} and no result"
        return Failed(crash, None, None, log, rerun, seconds)

    @staticmethod
    def _write_rerun(folder: Path, command: list[str], environment: dict[str, str]) -> None:
        """A script that repeats the step by hand, in the same environment, on the same inputs."""
        pairs = " ".join(shlex.quote(f"{n}={v}") for n, v in sorted(environment.items()))
        script = folder / "rerun.sh"
        with writing(script):
            script.write_text(
                "#!/bin/sh\n"
                "# Repeats this step by hand; its outputs go to out/, its verdict to result.json.\n"
                f"cd {shlex.quote(str(folder / 'scratch'))} && exec env -i {pairs} {shlex.join(command)}\n"
            )
            script.chmod(0o755)


def worker_environment(job: Job, folder: Path) -> dict[str, str]:
    """The variables of a worker: listed, never inherited, so that nothing undeclared gets in."""
    scratch = folder / "scratch"
    threads = str(job.threads)
    python = str(job.python.parent) if job.python is not None else ""
    return {
        "PATH": f"{python}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(scratch),
        "TMPDIR": str(scratch / "tmp"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
        "SOURCE_DATE_EPOCH": "0",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
    }


def log_tail(log: Path) -> list[str]:
    """The last lines of a log, for the console."""
    try:
        return log.read_text(errors="replace").rstrip().splitlines()[-TAIL_LINES:]
    except OSError:
        return []
