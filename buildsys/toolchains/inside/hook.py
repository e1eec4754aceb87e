"""Watches, by Python's own means, what a step reads.

Where the kernel watches (`watch.py`), this only says what the kernel cannot know of a call: whether
it is the import system that looks into a folder, and which part of a `stat` the caller wants. Where the
kernel does not, this is the record: an audit hook, wrapped functions of `os`, and wrapped loaders of
torch and safetensors. Forked children and Python children carry it on (`inherited/sitecustomize.py`);
what nothing of this sees is recorded as unseen.

Standard library only.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.machinery
import json
import os
import re
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buildsys.toolchains.inside import reads, watch
else:
    reads, watch = (
        sys.modules[f"{__package__}.{name}" if __package__ else f"modelbuild_{name}"]
        for name in ("reads", "watch")
    )

METADATA = os.path.join("importlib", "metadata", "__init__.py")
ASKING = ("stat", "lstat", "access", "readlink")
"""What `exists`, `isfile`, `getsize` and the like of `os.path` and `pathlib` come down to."""
BETWEEN = (
    *(
        form.format(name)
        for name in ("os", "genericpath", "posixpath", "pathlib")
        for form in ("<frozen {}>", "/{}.py")
    ),
    *(f"/pathlib/{name}.py" for name in ("__init__", "_local", "_os", "_abc")),
)
"""Ask for whoever calls them."""
ONLY_KIND = frozenset((
    "exists", "lexists", "isfile", "isdir", "islink", "ismount", "isjunction", "is_file",
    "is_dir", "is_symlink", "is_mount", "is_junction", "is_socket", "is_fifo",
    "is_block_device", "is_char_device", "samefile", "realpath", "_joinrealpath",
    "resolve", "walk", "_walk", "fwalk", "glob", "rglob", "iterdir", "mkdir",
    "makedirs", "touch",
))  # fmt: skip
"""Functions of those modules that want to know no more than what is there."""
CURIOUS = (METADATA, f"{os.sep}linecache.py", f"{os.sep}inspect.py")
"""Look for source files and installed packages everywhere, on nobody's behalf."""
NO_FOLDER = -1
"""Stands in audit events for the descriptor of the current directory."""

INHERITED = Path(__file__).with_name("inherited")
"""A folder whose `sitecustomize` every Python imports that finds it on its path."""
VARIABLE = "MODELBUILD_READS"
"""Names the file that tells a Python child what is watched, and how."""
ISOLATED = re.compile(r"-[A-Za-z]*[IES]")
"""Options of Python that leave out `PYTHONPATH`, or `site`."""
PYTHON = re.compile(r"(python|pypy)[0-9.]*")
STARTING = {
    "subprocess.Popen": (0, 1, 3),
    "os.posix_spawn": (0, 1, 2),
    "os.exec": (0, 1, 2),
    "os.spawn": (1, 2, 3),
}
"""Audit events of programs that are started: where the program, its arguments and variables are."""
HARMLESS = frozenset((
    "uname", "arch", "ldconfig", "lscpu", "nvidia-smi", "sw_vers", "sysctl", "getconf",
    "hostname", "which", "tty",
))  # fmt: skip
"""Programs that look at the machine, and that libraries start on nobody's behalf."""
READ_NOTHING = frozenset((
    "numpy", "torch", "functorch", "torchgen", "scipy", "pandas", "PIL", "sklearn",
    "safetensors", "yaml", "_yaml", "markupsafe", "regex", "charset_normalizer",
    "psutil", "gmpy2", "sympy", "networkx", "jinja2", "google", "triton", "ml_dtypes",
    "optree",
))  # fmt: skip
"""Packages whose native parts open no file of the user's, or only through what is wrapped here."""
NATIVE_PARTS = frozenset(("_gdbm", "_dbm"))
"""Parts of the standard library that open files unannounced."""

ATTACH = 24
"""The number by which SQLite asks whether a database may be attached."""


class Discovery(reads.Reads):
    """Records what the model's own code reads, or helps the kernel to.

    No audit event tells of `stat` and `access`, nor of the folder that `open` is relative to: those
    functions are wrapped.
    """

    def __init__(self, project: str | os.PathLike[str], ignored: Iterable[str | os.PathLike[str]]):
        self.ignored = [os.fspath(each) for each in ignored]
        super().__init__(project, self.ignored)
        self._busy: set[int] = set()
        self._running = False
        self._originals: list[tuple[Any, str, Any]] = []
        self._watched: watch.Watched | None = None
        self._annotations: watch.Annotations | None = None
        self._records: str | None = None
        self._process = os.getpid()
        self._installed: dict[str, bool] = {}
        own = self.root + os.sep
        self._plain = tuple(each for each in self.outside if not own.startswith(each))

    def start(self) -> None:
        """Begins to record."""
        self._running = True
        sys.addaudithook(self._audit)
        os.register_at_fork(after_in_child=self._forked)
        self._replace(os, "open", self._telling_open(os.open))
        self._replace(os, "fstat", self._telling_fstat(os.fstat))
        self._replace(os, "listdir", self._telling_listing(os.listdir))
        for name in ASKING:
            self._replace(os, name, self._telling_presence(name, getattr(os, name)))

    def stop(self) -> None:
        """Stops recording; an audit hook itself cannot be removed."""
        self._running = False
        while self._originals:
            module, name, original = self._originals.pop()
            setattr(module, name, original)

    def watched_by(self, watched: watch.Watched) -> None:
        """Leaves the record to the kernel from now on, and only says what that cannot know."""
        self._watched, self._annotations = watched, watched.annotations
        self._set_aside_imports()

    def annotates(self, annotations: watch.Annotations) -> None:
        """As `watched_by`, in a child, which leaves the asking to its step."""
        self._annotations = annotations
        self._set_aside_imports()

    def records_into(self, folder: str) -> None:
        """Says where children leave their part of the record."""
        self._records = folder

    def tell_children(self, folder: str, annotations: str | None) -> None:
        """Has Python children of this process carry on.

        Args:
            folder: The action's own folder.
            annotations: The file that the kernel's side shares with all of them, where there is one.
        """
        records = os.path.join(folder, "reads")
        os.makedirs(records, exist_ok=True)
        told = os.path.join(folder, "reads.json")
        with open(told, "w", encoding="utf-8") as stream:
            json.dump(
                {
                    "project": self.root,
                    "ignored": self.ignored,
                    "annotations": annotations,
                    "records": records,
                    "modules": os.path.dirname(os.path.abspath(__file__)),
                },
                stream,
            )
        if annotations is None:
            self.records_into(records)
            self._wrap_databases()
        os.environ[VARIABLE] = told
        path = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(INHERITED), *([path] if path else [])])

    def is_child(self) -> None:
        """Says that this process is a child, whose rows are to be written down at once."""
        self._process = 0

    def _forked(self) -> None:
        self._busy.clear()

    def _set_aside_imports(self) -> None:
        finder = importlib.machinery.PathFinder
        original = finder.find_spec

        def find_spec(cls: Any, *args: Any, **options: Any) -> Any:
            with self._aside():
                return original(*args, **options)

        # The import system's own look into folders says nothing; which modules there are is recorded.
        self._replace(finder, "find_spec", classmethod(find_spec), finder.__dict__["find_spec"])

    def _replace(self, place: Any, name: str, telling: Any, original: Any = None) -> None:
        original = getattr(place, name) if original is None else original
        self._originals.append((place, name, original))
        # `shutil` and others ask there what a function can do.
        for able in (
            os.supports_dir_fd,
            os.supports_fd,
            os.supports_follow_symlinks,
            os.supports_effective_ids,
        ):
            if original in able:
                able.add(telling)
        setattr(place, name, telling)

    def _keep(self, name: str, digest: str, weak: bool = False) -> None:
        new = name not in self._found
        super()._keep(name, digest, weak)
        if new and self._records is not None and os.getpid() != self._process:
            line = json.dumps([name, digest, weak]) + "\n"
            with self.own():
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                descriptor = os.open(os.path.join(self._records, f"{os.getpid()}"), flags)
                try:
                    os.write(descriptor, line.encode())
                finally:
                    os.close(descriptor)

    def report(self) -> list[dict[str, str]]:
        """What this process and its children read, with digests."""
        if self._watched is not None:
            try:
                self.add(self._watched.report())
            except (OSError, ValueError):
                self.unseen("all that was read after the model's code cut off its watcher")
        if self._records is not None:
            with self.own():
                for entry in sorted(os.listdir(self._records)):
                    with open(os.path.join(self._records, entry), encoding="utf-8") as stream:
                        self.add(json.loads(line) for line in stream)
        return super().report()

    # How much of a call counts

    @contextlib.contextmanager
    def own(self) -> Iterator[None]:
        """What this thread does meanwhile is our own; what others do is the model's."""
        thread = threading.get_ident()
        nested = thread in self._busy
        self._busy.add(thread)
        try:
            with self._said(watch.OWN):
                yield
        finally:
            if not nested:
                self._busy.discard(thread)

    @contextlib.contextmanager
    def _said(self, level: int) -> Iterator[None]:
        """Says to the kernel's side how much this thread's calls count; what was said stays, if more."""
        if self._annotations is None:
            yield
            return
        before = self._annotations.put(level)
        if before > level:
            self._annotations.put(before)
        try:
            yield
        finally:
            self._annotations.put(before)

    def _aside(self) -> contextlib.AbstractContextManager[None]:
        return self._said(watch.ASIDE)

    @property
    def _active(self) -> bool:
        return self._running and threading.get_ident() not in self._busy

    @property
    def _records_here(self) -> bool:
        """Whether this process, and not the kernel, keeps the record."""
        return self._annotations is None and self._active

    def _level(self, name: str) -> int:
        """How much of a `stat` its caller wants to know, by who calls."""
        frame: types.FrameType | None = sys._getframe(2)
        through: set[str] = set()
        while frame is not None and frame.f_code.co_filename.endswith(BETWEEN):
            through.add(frame.f_code.co_name)
            frame = frame.f_back
        if frame is not None and frame.f_code.co_filename.endswith(CURIOUS):
            return watch.ASIDE
        if self._is_importing(frame):
            return watch.ASIDE
        if name in ("access", "readlink") or not through.isdisjoint(ONLY_KIND):
            return watch.KIND
        # Libraries look at times for the sake of their caches.
        library = frame is None or self._is_installed(frame.f_code.co_filename)
        return watch.SIZE if "getsize" in through or library else watch.TIME

    def _is_installed(self, file: str) -> bool:
        """Whether a source file is a library's, and not the user's."""
        found = self._installed.get(file)
        if found is None:
            found = file.startswith("<frozen") or self.ignores(os.path.abspath(file))
            self._installed[file] = found
        return found

    def _is_importing(self, frame: types.FrameType | None) -> bool:
        """Whether it is not the model's code that asks, nor a library for it.

        What is installed looks around while it is imported; warm hosts have imported it before.
        """
        while frame is not None:
            above, code = frame.f_back, frame.f_code
            if (
                code.co_name == "<module>"
                and above is not None
                and above.f_code.co_filename.startswith("<frozen importlib")
                and self._is_installed(code.co_filename)
            ):
                return True
            frame = above
        return False

    # Wrapped functions

    def _telling_presence(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        up = os.sep + os.pardir

        @functools.wraps(original)
        def telling(path: Any, *args: Any, **options: Any) -> Any:
            # An import of torch asks ten thousand times for what plainly lies elsewhere.
            if type(path) is str and path.startswith(self._plain) and up not in path:
                return original(path, *args, **options)
            if not self._active or not isinstance(path, str | bytes | os.PathLike):
                return original(path, *args, **options)
            level = self._level(name)
            if self._annotations is not None:
                with self._said(level):
                    return original(path, *args, **options)
            try:
                return original(path, *args, **options)
            finally:
                if level < watch.ASIDE and (name != "readlink" or os.path.islink(path)):
                    self._asked(os.fspath(path), options.get("dir_fd"), level)

        return telling

    def _telling_fstat(self, original: Callable[[int], Any]) -> Callable[[int], Any]:
        @functools.wraps(original)
        def telling(fd: int) -> Any:
            if self._active and self._level("fstat") == watch.TIME:
                path = below(fd, "")
                if path is not None and path.startswith(os.sep):
                    self._stat(path.rstrip(os.sep))
            return original(fd)

        return telling

    def _stat(self, path: str) -> None:
        """Has all that a `stat` tells of a path count."""
        if self._annotations is None:
            self._asked(path, None, watch.TIME)
            return
        with self._said(watch.TIME), contextlib.suppress(OSError):
            next(each for _, name, each in self._originals if name == "stat")(path)

    def _telling_listing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def telling(*args: Any, **options: Any) -> Any:
            if sys._getframe(1).f_code.co_filename.endswith(METADATA):
                with self._aside():
                    return original(*args, **options)
            return original(*args, **options)

        return telling

    def _telling_open(self, original: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(original)
        def telling(path: Any, flags: int, *args: Any, **options: Any) -> int:
            folder = options.get("dir_fd")
            if folder is None or not self._records_here:
                return original(path, flags, *args, **options)
            named = below(folder, os.fspath(path))
            if named is not None:
                self.opened(self.place(named), flags)
            with self.own():  # The audit event does not know of the folder.
                return original(path, flags, *args, **options)

        return telling

    def _asked(self, path: str | bytes, folder: int | None, level: int) -> None:
        named = below(NO_FOLDER if folder is None else folder, path)
        if named is not None and "\0" not in named:
            wanted = level in (watch.ANY, watch.TIME)
            self.asked(
                self.place(named), size=level != watch.KIND, time=wanted, weak=level == watch.ANY
            )

    # Audit events

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._records_here:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes):
                self.opened(self.place(path), flags or 0)
        elif event in ("os.listdir", "os.scandir"):
            self._listed(event, arguments)
        elif event in ("ctypes.dlopen", "sqlite3.connect"):
            self._native(event, arguments[0])
        elif event == "sqlite3.load_extension":
            self.unseen("an extension of SQLite")
        elif event == "import" and arguments[1] is not None:
            self._extension(arguments[0], arguments[1])
        elif event in STARTING:
            self._starts(*(arguments[at] for at in STARTING[event]))
        elif event == "os.system":
            self.unseen("a command of the shell")
        elif event == "os.mkdir":
            self._creates(arguments[0], arguments[2])
        elif event == "os.symlink":
            self._creates(arguments[1], arguments[2])
        elif event in ("os.link", "os.rename"):
            source, target, source_folder, target_folder = arguments
            given = below(source_folder, os.fspath(source))
            named = below(target_folder, os.fspath(target))
            if given is not None and named is not None:
                self.moves(self.place(given), self.place(named))

    def _creates(self, path: Any, folder: int) -> None:
        named = below(folder, os.fspath(path))
        if named is not None:
            self.creates(self.place(named))

    def _listed(self, event: str, arguments: tuple[Any, ...]) -> None:
        path = arguments[0] if arguments and arguments[0] is not None else "."
        if isinstance(path, int):
            path = below(path, "")
        if not isinstance(path, str | bytes):
            return
        # The import system looks into folders, and `importlib.metadata` into all on `sys.path`.
        frame: types.FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        asking = frame.f_code.co_filename if frame is not None else ""
        if asking.startswith("<frozen importlib") or asking.endswith(METADATA):
            return
        text = self.place(path)
        self.lists(text)
        between = asking.endswith((*BETWEEN, f"{os.sep}glob.py")) or self._is_installed(asking)
        if event == "os.scandir" and not between:
            # Entries give their sizes and times by themselves.
            with self.own():
                entries = [os.path.join(text, os.fsdecode(name)) for name in os.listdir(text)]
            for each in entries:
                self.asked(each, size=True, time=True, weak=True)

    def _native(self, event: str, path: Any) -> None:
        """Records a library or a database, which native code opens."""
        if event == "ctypes.dlopen":
            self._loads(path)
        if not isinstance(path, str | bytes | os.PathLike):
            return
        text = os.fsdecode(path)
        if text.startswith("file:"):  # As a URI, for SQLite.
            text = text.removeprefix("file:").partition("?")[0]
        with self.own():
            named = os.sep in text or os.path.isfile(text)
        if named:
            self.read(text)

    def _wrap_databases(self) -> None:
        """Has SQLite ask before it attaches another database, which no audit event tells of."""
        try:
            import sqlite3
        except ImportError:  # Some builds of Python go without.
            return
        original = sqlite3.connect

        @functools.wraps(original)
        def telling(*args: Any, **options: Any) -> Any:
            connection = original(*args, **options)
            connection.set_authorizer(self._authorized)
            return connection

        for module in (sqlite3, sqlite3.dbapi2):
            self._replace(module, "connect", telling, original)

    def _authorized(self, action: int, path: Any, *_: Any) -> int:
        """Lets SQLite do everything, and records the databases that it attaches."""
        if action == ATTACH and self._records_here and path not in (None, "", ":memory:"):
            self._native("sqlite3.connect", path)
        return 0

    def _loads(self, path: Any) -> None:
        frame: types.FrameType | None = sys._getframe(3)
        while frame is not None and f"{os.sep}ctypes{os.sep}" in frame.f_code.co_filename:
            frame = frame.f_back
        users = frame is not None and not self._is_installed(frame.f_code.co_filename)
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else "libc"
        if users or (os.sep in name and not self._reads_nothing(name)):
            self.unseen(f"native code that is called by ctypes ({os.path.basename(name)})")

    def _extension(self, module: str, file: str) -> None:
        """Records that native code is loaded that may open files by itself."""
        if module.partition(".")[0] in NATIVE_PARTS or not self._reads_nothing(file):
            self.unseen(f"native code of the package `{module.partition('.')[0]}`")

    def _reads_nothing(self, file: str) -> bool:
        parts = os.path.abspath(file).split(os.sep)
        for folder in ("site-packages", "dist-packages"):
            if folder in parts[:-1]:
                package = parts[len(parts) - parts[::-1].index(folder)]
                return package.partition(".")[0] in READ_NOTHING
        return self._is_installed(file)  # The standard library's.

    def _starts(self, program: Any, arguments: Any, variables: Any) -> None:
        """Records a program that is started, unless it is a Python that carries on."""
        given = program if program is not None else arguments
        if isinstance(given, list | tuple):
            given = given[0]
        if not isinstance(given, str | bytes | os.PathLike):
            return
        text = os.fsdecode(given)
        if os.sep in text:
            self.read(text)
        name = os.path.basename(text)
        if name not in HARMLESS and not self._inherits(name, arguments, variables):
            self.unseen(f"the program `{name}`")

    @staticmethod
    def _inherits(name: str, arguments: Any, variables: Any) -> bool:
        if PYTHON.fullmatch(name) is None:
            return False
        if isinstance(arguments, list | tuple):
            for each in map(os.fsdecode, arguments[1:]):
                if not each.startswith("-") or each in ("-c", "-m"):
                    break
                if ISOLATED.match(each):
                    return False
        given: Any = os.environ if variables is None else variables
        if isinstance(given, dict) or given is os.environ:
            told = {os.fsdecode(n): os.fsdecode(v) for n, v in given.items()}
        else:
            told = dict(os.fsdecode(each).partition("=")[::2] for each in given)
        path = told.get("PYTHONPATH", "").split(os.pathsep)
        return VARIABLE in told and str(INHERITED) in path

    # Loaders

    def wrap(self) -> None:
        """Makes loaders that read in native code tell of it."""
        for module_name, function_name in (
            ("safetensors", "safe_open"),
            ("safetensors.torch", "safe_open"),
            ("torch.jit", "load"),
            ("torch.export", "load"),
            ("torch", "from_file"),
        ):
            module = sys.modules.get(module_name)
            if module is None and module_name == "safetensors":
                with contextlib.suppress(ImportError):
                    module = importlib.import_module(module_name)
            if module is not None:
                self._wrap(module, function_name)
        torch = sys.modules.get("torch")
        if torch is not None:
            self._wrap_reader(torch)

    def _wrap(self, module: types.ModuleType, name: str) -> None:
        original = getattr(module, name)

        @functools.wraps(original)
        def telling(source: Any, *args: Any, **kwargs: Any) -> Any:
            self._loaded(source)
            return original(source, *args, **kwargs)

        setattr(module, name, telling)

    def _wrap_reader(self, torch: Any) -> None:
        for owner in (torch.UntypedStorage, getattr(torch, "FloatStorage", None)):
            if owner is not None:
                self._wrap_from_file(owner)
        reader = torch._C.PyTorchFileReader
        original = reader.__init__

        def telling(instance: Any, source: Any, *args: Any, **kwargs: Any) -> None:
            self._loaded(source)
            original(instance, source, *args, **kwargs)

        reader.__init__ = telling

    def _wrap_from_file(self, owner: Any) -> None:
        original = owner.from_file

        def telling(cls: Any, source: Any = None, *args: Any, **kwargs: Any) -> Any:
            self._loaded(kwargs.get("filename", source))
            return original(*([] if source is None else [source]), *args, **kwargs)

        owner.from_file = classmethod(telling)

    def _loaded(self, source: Any) -> None:
        if self._records_here and isinstance(source, str | bytes | os.PathLike):
            self.read(os.fspath(source))


def below(descriptor: int, path: str | bytes) -> str | None:
    """A path relative to an open folder; `None` where the system does not tell that folder's name."""
    if descriptor == NO_FOLDER:
        return os.fsdecode(path)
    try:
        if sys.platform == "darwin":
            import fcntl

            folder = os.fsdecode(
                fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")
            )
        else:
            folder = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None
    return os.path.join(folder, os.fsdecode(path))


def carry_on(told: dict[str, Any]) -> None:
    """Has a Python child watch as its parent does; called by `inherited/sitecustomize.py`."""
    discovery = Discovery(told["project"], told["ignored"])
    if told["annotations"] is not None:
        discovery.annotates(watch.Annotations(told["annotations"]))
    else:
        discovery.is_child()
        discovery.records_into(told["records"])
    discovery.start()
