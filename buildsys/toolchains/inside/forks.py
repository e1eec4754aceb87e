"""Serves the steps of one environment: imports what they need once, then forks a child for each.

Requests come as lines of JSON on a socket, and what happens to them goes back the same way; libraries
print to stdout as they like. A child starts from what a fresh process would have imported by then and
from nothing else, so what it gives cannot depend on what ran before. A crash takes one step with it.

Where a fork would not be the same as a fresh process (native threads are alive, the project shadows
a module that is imported already) the answer is `cold`, and the coordinator starts a process instead.

Standard library only; loaded by `program.py`, which also runs each step.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import re
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import machinery
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple, NoReturn

PR_SET_PDEATHSIG = 1
CLOCK_REALTIME_COARSE = 5
"""By which Linux stamps files; Python has no name for it."""
LOST = 70
"""The status of a child whose host was gone before it began."""
TASKS = "/proc/self/task"
MAPPED = re.compile(r" (/.*/[^/\n]*(?:openblas|gomp|iomp5|libomp)[^/\n]*)$", re.MULTILINE)
SOURCES = (*machinery.SOURCE_SUFFIXES, *machinery.EXTENSION_SUFFIXES)
SETTERS = (
    "omp_set_num_threads",
    *(f"{scipy}openblas_set_num_threads{bits}" for scipy in ("", "scipy_") for bits in ("", "64_")),
)
"""How to set the number of threads of a library that read it from the environment when it was loaded."""


class Start(NamedTuple):
    """What the process was when it began.

    Attributes:
        host: The module `program`.
        path: `sys.path`.
        loaded: The modules that a cold start has loaded by then as well.
    """

    host: ModuleType
    path: Sequence[str]
    loaded: frozenset[str]


class Child(NamedTuple):
    """A step that runs: the request's number and when it was forked (monotonic seconds)."""

    number: int
    started: float


class Unlike(Exception):
    """A fork would not be like a fresh process.

    Attributes:
        always: Whether that holds for every step of this host, not just for this one.
    """

    def __init__(self, reason: str, always: bool) -> None:
        super().__init__(reason)
        self.always = always


class Preloaded:
    """What has been imported for the children to find.

    Args:
        start: The process as it began.
        folder: The host's own folder.
    """

    def __init__(self, start: Start, folder: Path) -> None:
        self._start = start
        self._folder = str(folder)
        self._done: set[tuple[str, ...]] = set()
        self._folders: dict[str, str] = {}
        self._outside: set[str] = set()
        self._watching = False
        self._installed: tuple[str, ...] = ()
        self._environment = dict(os.environ)
        self._set: dict[str, str] = {}
        self._watchable: set[str | None] = set()
        sys.addaudithook(self._audit)

    @property
    def used(self) -> bool:
        """Whether anything was imported yet."""
        return bool(self._done)

    def extend(self, spec: dict[str, Any]) -> bool:
        """Imports the worker of a request, and what it declares to import late.

        Returns:
            Whether there was anything to import.

        Raises:
            Unlike: It does not import; a second try in the same process may fail in another way.
        """
        folder = spec.get("folder", spec["backends"])
        if self._folders.setdefault(spec["backend"], folder) != folder:
            raise Unlike(f"two folders claim the backend {spec['backend']}", False)
        self._start.host.expose_backends(spec)
        if spec.get("project") and spec["backend"] not in self._watchable:
            self._start.host.prepare_watch(spec, self._start.path)
            self._watchable.add(spec["backend"])
        module, function = self._start.host.worker_module(spec)
        wanted = [(f"{self._start.host.kit(spec)}.protocol.request", "Request"), (module, function)]
        runtime = spec["options"].get("runtime_module")
        if runtime is not None:
            wanted.append((f"{self._start.host.PACKAGE}.{runtime}", "load"))
        if self._done.issuperset(wanted):
            return False
        with self._watched(spec):
            for module, function in wanted:
                self._import(module, function)
        self._start.host.IMPORTED.warm()
        self._set = {n: v for n, v in os.environ.items() if self._environment.get(n) != v}
        gc.freeze()  # Collecting in a child would copy every page that holds a counter.
        return True

    def _import(self, module: str, function: str) -> None:
        if (module, function) in self._done:
            return
        try:
            found = importlib.import_module(module)
        except BaseException as error:
            traceback.print_exc()
            raise Unlike(f"{module} does not import here", False) from error
        for late in getattr(found, "PRELOAD", {}).get(function, ()):
            try:
                importlib.import_module(late, module.rpartition(".")[0])
            except BaseException:  # The step tries again, and tells of it where it matters.
                traceback.print_exc()
        self._done.add((module, function))

    @contextmanager
    def _watched(self, spec: dict[str, Any]) -> Iterator[None]:
        folders = [*self._start.host.installed_folders(self._start.path), spec["backends"]]
        folders += [spec.get("folder", spec["backends"]), self._folder, "/proc", "/sys", "/dev"]
        self._installed = tuple(
            form(folder) + os.sep
            for folder in map(str, folders)
            for form in (os.path.abspath, os.path.realpath)
        )
        self._watching = True
        try:
            yield
        finally:
            self._watching = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._watching and event in ("open", "os.listdir", "os.scandir"):
            path = arguments[0]
            if isinstance(path, str | bytes):
                text = os.path.abspath(os.fsdecode(path))
                if not (text + os.sep).startswith(self._installed):
                    self._outside.add(text)

    def check(self, spec: dict[str, Any]) -> None:
        """Looks whether the model's own code would find what it finds in a fresh process.

        Raises:
            Unlike: It has a module of its own by a name that is taken here, or what was imported
                lies where files count as the model's.
        """
        if spec["project"] is None:
            return
        taken = {name.partition(".")[0] for name in sys.modules.keys() - self._start.loaded}
        for entry in _entries(spec["project"]):
            name = entry.partition(".")[0]
            package = os.path.join(spec["project"], name, "__init__.py")
            if name in taken and (entry.endswith(SOURCES) or os.path.isfile(package)):
                raise Unlike(f"the project has a module `{name}` of its own", False)
        if not self._outside:
            return
        discovery = self._start.host.discovery_of(spec, self._start.path)
        for path in self._outside:
            if os.path.exists(path) and not discovery.ignores(path):
                raise Unlike(f"{path} would count as read by the model", False)

    def environment(self, listed: Mapping[str, str], scratch: str) -> dict[str, str]:
        """The variables of a child: the listed ones, and what the imports have set on top.

        A fresh process would have those too; a path below the host's folder is the child's own.
        """
        temporary = os.path.join(self._folder, "tmp")
        moved = {
            n: v.replace(temporary, listed["TMPDIR"]).replace(self._folder, scratch)
            for n, v in self._set.items()
        }
        return {**listed, **moved}


class Server:
    """The loop: one thread, which sleeps until a request comes or a child ends.

    Args:
        control: The coordinator's socket; at its end everything here ends too.
        folder: The host's own folder, its home and its current directory.
        start: The process as it began.
    """

    def __init__(self, control: socket.socket, folder: Path, start: Start) -> None:
        self._control = control
        self._folder = folder
        self._start = start
        self._preloaded = Preloaded(start, folder)
        self._children: dict[int, Child] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._woken, self._wake = os.pipe()
        for descriptor in (self._woken, self._wake):
            os.set_blocking(descriptor, False)
        self._kept: dict[str, frozenset[str]] = {}
        self._orphans = start.host.beside("orphans")
        self._own: set[int] = set()
        """Processes that the imports have started."""

    def run(self) -> None:
        """Serves until the coordinator goes away, then ends what still runs."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        with suppress(OSError):  # A coordinator that was killed leaves a reset connection.
            self._loop()
        for pid in self._children:
            _kill(pid)
        self._orphans.end_children()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _loop(self) -> None:
        pending = b""
        while True:
            ready, _, _ = select.select([self._control.fileno(), self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()
            if self._control.fileno() in ready:
                data = self._control.recv(1 << 16)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._serve(json.loads(line))

    def _tell(self, number: int, what: str, **fields: Any) -> None:
        record = {"number": number, "what": what, **fields}
        self._control.sendall(json.dumps(record).encode() + b"\n")

    def _serve(self, message: dict[str, Any]) -> None:
        number = message["number"]
        if "prepare" in message:
            with suppress(Unlike):  # Whoever needs it hears of it then.
                self._preloaded.extend(message["prepare"])
            self._imported()
            self._tell(number, "prepared")
            return
        try:
            request = Path(message["request"])
            spec = json.loads(request.read_bytes())
            self._prepare(spec)
            environment = self._preloaded.environment(message["environment"], spec["scratch"])
            sys.stdout.flush()
            sys.stderr.flush()
            # No file that is changed from now on is older than this.
            stamp = time.clock_gettime_ns(CLOCK_REALTIME_COARSE) - 1
            started = time.monotonic()
            pid = os.fork()
        except Unlike as reason:
            self._tell(number, "cold", reason=str(reason), always=reason.always)
            return
        except (OSError, ValueError) as error:  # No memory for a fork, no request to read.
            self._tell(number, "cold", reason=str(error), always=False)
            return
        if pid == 0:
            self._child(request, spec, environment)
        self._children[pid] = Child(number, started)
        self._tell(number, "started", pid=pid, started_ns=stamp)

    def _prepare(self, spec: dict[str, Any]) -> None:
        """Makes the process one to fork from.

        Raises:
            Unlike: It cannot be.
        """
        if self._preloaded.used and any(
            not kept.issuperset(_entries(folder)) for folder, kept in self._kept.items()
        ):
            # A library took its cache's place from HOME when it was imported: steps would share it.
            raise Unlike("a step left files in the folder of the host", True)
        if self._preloaded.extend(spec):
            self._imported()
        self._preloaded.check(spec)
        if len(os.listdir(TASKS)) > 1:
            raise Unlike("native threads are alive after the imports", True)

    def _imported(self) -> None:
        """Notes what the imports have left: that is no step's, and stays."""
        self._kept = {
            folder: frozenset((*folders, *names))
            for folder, folders, names in os.walk(self._folder)
        }
        self._own = self._orphans.children() - self._children.keys()

    def _child(self, request: Path, spec: dict[str, Any], environment: dict[str, str]) -> NoReturn:
        """Becomes what a fresh process on this request would be by now, and performs it."""
        try:
            host = os.getppid()
            os.setsid()
            self._orphans.adopt(self._libc)
            self._libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != host:  # It died before it was said that we go with it.
                os._exit(LOST)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._woken)
            os.close(self._wake)
            log = os.open(spec["log"], os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.close(log)
            os.chdir(spec["scratch"])
            _become(environment)
            tempfile.tempdir = None
            time.tzset()
            sys.argv[1:] = [str(request)]
            _set_threads(spec["threads"])
            numpy_random = sys.modules.get("numpy.random")
            if numpy_random is not None:
                numpy_random.seed()  # All children would draw the same numbers otherwise.
            gc.enable()
            self._start.host.answer(request, self._start.path, spec)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(LOST)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # What the step left behind goes with it.
            self._orphans.end_children({*self._children, *self._own})
            self._tell(
                child.number,
                "ended",
                code=os.waitstatus_to_exitcode(status),
                peak_rss=usage.ru_maxrss * 1024,
                cpu=usage.ru_utime + usage.ru_stime,
                seconds=time.monotonic() - child.started,
            )


def _become(environment: Mapping[str, str]) -> None:
    """Changes this process's variables where they are others."""
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _noted(number: int, frame: FrameType | None) -> None:
    """Python writes to the wakeup descriptor only for signals that have a handler."""


def _kill(pid: int) -> None:
    """Kills a child with all that it started; a child may be too young to lead a group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _set_threads(count: int) -> None:
    """Gives libraries the number of threads that they were not told when they were loaded."""
    if count == 1:
        return
    for path in set(MAPPED.findall(Path("/proc/self/maps").read_text())):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for name in SETTERS:
            with suppress(AttributeError):
                getattr(library, name)(count)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)


def serve(descriptor: int, folder: Path, start: Start) -> None:
    """Serves requests from a socket until its other end is closed."""
    gc.disable()  # Nothing is made here but what stays.
    os.chdir(folder)
    Server(socket.socket(fileno=descriptor), folder, start).run()
    os._exit(0)
