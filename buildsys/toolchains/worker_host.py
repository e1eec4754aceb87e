"""Runs one step inside a toolchain: `python -s -P worker_host.py REQUEST.json`.

This file is started by path with the toolchain's own interpreter, so it imports the standard library
only, and the backend's worker under the synthetic package `modelbuild_backends`; the host package is
never importable here, but for steps that are built in: those have no backend. It writes `result.json`
beside the request and always exits 0 when it could write one: any other end is a crash, which the
engine reports with the log.

With `--serve DESCRIPTOR FOLDER` it stays, and forks a child for each step; see `worker_forks.py`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import json
import os
import site
import sys
import sysconfig
import threading
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

PACKAGE = "modelbuild_backends"
HOST_PACKAGE = "buildsys"
"""The package that steps are in that are built in."""
PROGRESS = "progress.jsonl"
"""The file in an action's folder that it says how far it is in."""


ABSENT = "absent"
"""Stands for the digest of a file that was looked for and is not there."""
FILE, FOLDER = "file", "folder"
"""Stand for the digest of what was only asked whether it is there."""
METADATA = os.path.join("importlib", "metadata", "__init__.py")
MODULES = "*.py"
"""Ends the path of a record on which modules a folder offers."""
PRESENCE = "//"
"""Ends the path of a record on whether something is there, and of what kind."""
ASKING = ("stat", "lstat", "access")
"""What `exists`, `isfile` and the like of `os.path` and `pathlib` come down to."""
BETWEEN = tuple(
    form.format(name)
    for name in ("os", "genericpath", "posixpath", "pathlib")
    for form in ("<frozen {}>", "/{}.py")
)
"""Ask for whoever calls them."""
CURIOUS = (METADATA, f"{os.sep}linecache.py", f"{os.sep}inspect.py")
"""Look for source files and installed packages everywhere, on nobody's behalf."""
NOBODYS = frozenset((".git", "__pycache__"))
NO_FOLDER = -1
"""Stands in audit events for the descriptor of the current directory."""


class Discovery:
    """Records what the model's own code reads: files, folder listings, and which modules there are.

    `sys.addaudithook` sees every `open` of the interpreter. Digests are taken at the first open, so
    that they are of what was read. What native libraries open by themselves is not seen; the usual
    ones are wrapped.

    No audit event tells of `stat` and `access`, nor of the folder that `open` is relative to: those
    functions are wrapped.

    Args:
        project: The recipe's folder.
        ignored: Folders whose files do not count: they are in the key by other ways, or nobody's.
    """

    def __init__(self, project: Path, ignored: Iterable[Path]) -> None:
        self._root = os.path.abspath(project)
        self._real = os.path.realpath(project)
        folders = {os.path.abspath(p) + os.sep for p in ignored}
        folders |= {os.path.realpath(p) + os.sep for p in ignored}
        inside = self._root + os.sep
        # A prefix that holds the project itself (`/usr`, an environment in its folder) must not
        # hide the project's files; one below the project (`.venv`) hides its own.
        self._within = tuple(f for f in folders if f.startswith(inside) and f != inside)
        self._outside = (*folders, "/proc/", "/sys/", "/dev/", "/etc/")
        self._found: dict[str, str] = {}
        self._made: set[str] = set()
        self._busy: set[int] = set()
        self._running = False
        self._originals: dict[str, Callable[..., Any]] = {}

    def start(self) -> None:
        """Begins to record."""
        self._running = True
        sys.addaudithook(self._audit)
        self._replace("open", self._telling_open(os.open))
        for name in ASKING:
            self._replace(name, self._telling_presence(getattr(os, name)))

    def stop(self) -> None:
        """Stops recording; an audit hook itself cannot be removed."""
        self._running = False
        for name, original in self._originals.items():
            setattr(os, name, original)

    def _replace(self, name: str, telling: Callable[..., Any]) -> None:
        original = self._originals[name] = getattr(os, name)
        # `shutil` and others ask there what a function can do.
        for able in (
            os.supports_dir_fd,
            os.supports_fd,
            os.supports_follow_symlinks,
            os.supports_effective_ids,
        ):
            if original in able:
                able.add(telling)
        setattr(os, name, telling)

    def _telling_presence(self, original: Callable[..., Any]) -> Callable[..., Any]:
        own, up = (self._root, self._real), os.sep + os.pardir

        @functools.wraps(original)
        def telling(path: Any, *args: Any, **options: Any) -> Any:
            # An import of torch asks ten thousand times for what plainly lies elsewhere.
            absolute = type(path) is str and path[:1] == os.sep and up not in path
            if absolute and not path.startswith(own):
                return original(path, *args, **options)
            try:
                return original(path, *args, **options)
            finally:
                if self._active and isinstance(path, str | bytes | os.PathLike):
                    self._asked(os.fspath(path), options.get("dir_fd"))

        return telling

    def _telling_open(self, original: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(original)
        def telling(path: Any, flags: int, *args: Any, **options: Any) -> int:
            folder = options.get("dir_fd")
            if folder is None or not self._active:
                return original(path, flags, *args, **options)
            named = _below(folder, os.fspath(path))
            if named is not None:
                self._opened(named, flags)
            with self._unseen():  # The audit event does not know of the folder.
                return original(path, flags, *args, **options)

        return telling

    @property
    def _active(self) -> bool:
        return self._running and threading.get_ident() not in self._busy

    @contextlib.contextmanager
    def _unseen(self) -> Iterator[None]:
        """What this thread does meanwhile is our own; what others do is the model's."""
        thread = threading.get_ident()
        nested = thread in self._busy
        self._busy.add(thread)
        try:
            yield
        finally:
            if not nested:
                self._busy.discard(thread)

    def ignores(self, path: str) -> bool:
        """Whether a path does not count."""
        if (path + os.sep).startswith(self._root + os.sep):
            return (path + os.sep).startswith(self._within)
        if (path + os.sep).startswith(self._outside):
            return True
        with self._unseen():
            return (os.path.realpath(path) + os.sep).startswith(self._outside)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._active:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes):
                self._opened(path, flags or 0)
        elif event in ("os.listdir", "os.scandir"):
            path = arguments[0] if arguments and arguments[0] is not None else "."
            if isinstance(path, int):
                path = _below(path, "")
            if isinstance(path, str | bytes) and not self._importing():
                text = self.place(path)
                if not self._is_made(text):
                    self._record(text, "", listing_digest)
        elif event in ("ctypes.dlopen", "sqlite3.connect"):
            self._native(arguments[0])
        elif event == "os.mkdir":
            self._makes(arguments[0], arguments[2])
        elif event == "os.symlink":
            self._makes(arguments[1], arguments[2])
        elif event in ("os.link", "os.rename"):
            source, target, source_folder, target_folder = arguments
            given = _below(source_folder, os.fspath(source))
            # What was there before under another name is still the user's.
            if given is not None and self._is_made(self.place(given)):
                self._makes(target, target_folder)

    @staticmethod
    def _importing() -> bool:
        """Whether the import system, not the user's code, asks for the listing.

        `importlib.metadata` looks into every folder of `sys.path` for what is installed.
        """
        asking = sys._getframe(2).f_code.co_filename
        return asking.startswith("<frozen importlib") or asking.endswith(METADATA)

    def _opened(self, path: str | bytes, flags: int) -> None:
        if not flags & (os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            self.read(path)  # For both as well: `numpy.memmap` opens like this by default.
        elif flags & os.O_CREAT:
            self._makes(path, NO_FOLDER)

    def _makes(self, path: str | bytes | os.PathLike[Any], folder: int) -> None:
        """Notes what the code itself puts where nothing was: that it is there then tells nothing."""
        named = _below(folder, os.fspath(path))
        text = self.place(named) if named is not None else ""
        with self._unseen():
            if text.startswith(self._root + os.sep) and not os.path.lexists(text):
                self._made.add(text)

    def _native(self, path: Any) -> None:
        """Records a library or a database, which native code opens."""
        if not isinstance(path, str | bytes | os.PathLike):
            return
        text = os.fsdecode(path)
        if text.startswith("file:"):  # As a URI, for SQLite.
            text = text.removeprefix("file:").partition("?")[0]
        with self._unseen():
            named = os.sep in text or os.path.isfile(text)
        if named:
            self.read(text)

    def place(self, path: str | bytes) -> str:
        """An absolute path without `..`, below the project's by the name that we know it by.

        The current directory and what the kernel tells of a descriptor are without links.
        """
        text = os.fsdecode(path)
        if not text.startswith(os.sep):
            text = os.path.join(os.getcwd(), text)
        if os.pardir in text.split(os.sep):
            # Before `..` may be a link, and then it leads up from where the link leads.
            head, tail = os.path.split(text)
            with self._unseen():
                whole = tail in ("", os.curdir, os.pardir)
                text = os.path.realpath(text if whole else head)
            text = text if whole else os.path.join(text, tail)
        text = os.path.normpath(text)
        if self._real != self._root and (text + os.sep).startswith(self._real + os.sep):
            return self._root + text[len(self._real) :]
        return text

    def read(self, path: str | bytes) -> None:
        """Records a file that is about to be read, or that is looked for in vain."""
        text = self.place(path)
        if text.endswith(".pyc") and os.path.basename(os.path.dirname(text)) == "__pycache__":
            # Outside of the project byte code is used; what counts is the source it stands for.
            text = importlib.util.source_from_cache(text)
        with self._unseen():
            folder = os.path.isdir(text)
        if not folder:
            self._record(text, None, file_digest)

    def modules(self, folder: str) -> None:
        """Records which modules a folder of the project offers: another one may shadow what is used."""
        self._record(self.place(folder), MODULES, modules_digest)

    def _asked(self, path: str | bytes, folder: int | None) -> None:
        """Records whether something is there. Outside of the project that is the machine's affair."""
        named = _below(NO_FOLDER if folder is None else folder, path)
        if named is None or "\0" in named:
            return
        text = self.place(named)
        inside = self._root + os.sep
        if not text.startswith(inside) or text[len(inside) :] + PRESENCE in self._found:
            return
        parts = text[len(inside) :].split(os.sep)
        # A build makes the folder of artifacts beside the recipe.
        if parts[0] == "artifacts" or not NOBODYS.isdisjoint(parts) or self._is_made(text):
            return
        with self._unseen():
            if self._on_nobodys_behalf():
                return
        self._record(text, PRESENCE[1:], presence_digest)

    def _is_made(self, path: str) -> bool:
        while len(path) > len(self._root):
            if path in self._made:
                return True
            path = os.path.dirname(path)
        return False

    def _on_nobodys_behalf(self) -> bool:
        """Whether it is not the model's code that asks, nor a library for it.

        What is installed looks around while it is imported; warm hosts have imported it before.
        """
        frame: types.FrameType | None = sys._getframe(3)
        while frame is not None and frame.f_code.co_filename.endswith(BETWEEN):
            frame = frame.f_back
        if frame is not None and frame.f_code.co_filename.endswith(CURIOUS):
            return True
        while frame is not None:
            above, code = frame.f_back, frame.f_code
            if (
                code.co_name == "<module>"
                and above is not None
                and above.f_code.co_filename.startswith("<frozen importlib")
                and self.ignores(os.path.abspath(code.co_filename))
            ):
                return True
            frame = above
        return False

    def _record(self, path: str, suffix: str | None, digest: Callable[[str], str]) -> None:
        if self.ignores(path):
            return
        # A link is known by its own name: it may lead elsewhere the next time. What leads out of
        # the project does so from where its folder really is, as it will when it is looked at.
        inside = (path + os.sep).startswith(self._root + os.sep)
        name = os.path.relpath(path, self._root if inside else self._real)
        name = name if suffix is None else f"{name}/{suffix}"
        if name in self._found:
            return
        with self._unseen():
            found = digest(path)
        # What is looked for in vain outside of the project is the machine's affair: search paths.
        if found != ABSENT or not name.startswith(".."):
            self._found[name] = found

    def wrap(self) -> None:
        """Makes loaders that read in native code tell of it."""
        for module_name, function_name in (
            ("safetensors", "safe_open"),
            ("safetensors.torch", "safe_open"),
            ("torch.jit", "load"),
            ("torch.export", "load"),
        ):
            module = sys.modules.get(module_name)
            if module is None and module_name == "safetensors":
                with contextlib.suppress(ImportError):
                    module = importlib.import_module(module_name)
            if module is not None:
                self._wrap(module, function_name)

    def _wrap(self, module: types.ModuleType, name: str) -> None:
        original = getattr(module, name)

        def telling(source: Any, *args: Any, **kwargs: Any) -> Any:
            if self._active and isinstance(source, str | bytes | os.PathLike):
                self.read(os.fspath(source))
            return original(source, *args, **kwargs)

        setattr(module, name, telling)

    def report(self) -> list[dict[str, str]]:
        """What was read, with digests; paths are relative to the project."""
        there: set[str] = set()
        for name, digest in self._found.items():
            if digest != ABSENT:
                plain = name.removesuffix(PRESENCE)
                if plain == name:
                    there.add(name.rstrip("/"))
                while plain := os.path.dirname(plain):
                    there.add(plain)
        # The digest of a file says that it is there, and so does what is below a folder.
        return [
            {"path": name, "digest": digest}
            for name, digest in sorted(self._found.items())
            if digest not in (FILE, FOLDER) or name.removesuffix(PRESENCE) not in there
        ]

    def digests(self) -> dict[str, str]:
        """What was read until now, path to digest."""
        return {row["path"]: row["digest"] for row in self.report()}


def _below(descriptor: int, path: str | bytes) -> str | None:
    """A path relative to an open folder; `None` where the system does not tell that folder's name."""
    if descriptor == NO_FOLDER:
        return os.fsdecode(path)
    try:
        folder = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None
    return os.path.join(folder, os.fsdecode(path))


def file_digest(path: str) -> str:
    """A file's digest, or `absent`."""
    try:
        with open(path, "rb") as stream:
            return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ABSENT


def listing_digest(path: str) -> str:
    """The digest of a folder's names: without hidden ones, byte code, and what a build puts there."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return ABSENT
    kept = [n for n in names if n[0] != "." and n not in ("__pycache__", "artifacts")]
    return "list:" + hashlib.sha256("\0".join(kept).encode()).hexdigest()


def modules_digest(path: str) -> str:
    """The digest of the names of a folder's modules and packages."""
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError:
        return ABSENT
    suffixes = tuple(importlib.machinery.SOURCE_SUFFIXES + importlib.machinery.EXTENSION_SUFFIXES)
    kept = [
        entry.name
        for entry in entries
        if entry.name.endswith(suffixes) or os.path.isfile(os.path.join(entry.path, "__init__.py"))
    ]
    return "modules:" + hashlib.sha256("\0".join(kept).encode()).hexdigest()


def presence_digest(path: str) -> str:
    """`file`, `folder` or `absent`; of a link, where it leads, whether there is anything or not."""
    try:
        target = os.readlink(path)
    except OSError:
        if not os.path.lexists(path):
            return ABSENT
        return FOLDER if os.path.isdir(path) else FILE
    kind = FOLDER if os.path.isdir(path) else FILE if os.path.exists(path) else ABSENT
    return "link:" + hashlib.sha256(f"{target}\0{kind}".encode()).hexdigest()


def discovered_digest(project: str, name: str) -> str:
    """The digest now of what a record names; asked by the engine, of the same functions."""
    path = os.path.join(project, name)
    if name.endswith(PRESENCE):
        return presence_digest(path.removesuffix(PRESENCE))
    if name.endswith("/" + MODULES):
        return modules_digest(os.path.dirname(path))
    return listing_digest(path) if name.endswith("/") else file_digest(path)


class SourceOnly(importlib.machinery.SourceFileLoader):
    """Imports the project's modules from their sources, whatever byte code lies beside them."""

    def get_code(self, fullname: str) -> types.CodeType:
        """Compiles the source; a stale `.pyc` can say nothing."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def import_sources(project: Path, discovery: Discovery) -> None:
    """Makes imports from the project go by sources only, and tells which folders were looked into."""

    class Extension(importlib.machinery.ExtensionFileLoader):
        def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
            discovery.read(self.path)  # Native code opens it.
            return super().create_module(spec)

    make = importlib.machinery.FileFinder.path_hook(
        (Extension, importlib.machinery.EXTENSION_SUFFIXES),
        (SourceOnly, importlib.machinery.SOURCE_SUFFIXES),
    )
    root = os.path.abspath(project)

    def hook(path: str) -> importlib.machinery.FileFinder:
        folder = discovery.place(path)
        below = (folder + os.sep).startswith(root + os.sep)
        if not below or discovery.ignores(folder):
            raise ImportError(path)
        finder = make(path)  # Refuses what is no folder.
        discovery.modules(folder)
        return finder  # type: ignore[return-value]

    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


IMPORTED: Any = None
"""Knows which installed packages the process imports (`inside/imported.py`), from its start on."""


@functools.cache
def beside(name: str) -> Any:
    """Loads a module of the folder `inside`, which no `sys.path` of a worker holds."""
    path = Path(__file__).with_name("inside") / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"modelbuild_inside_{name}", path)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expose(folder: str) -> None:
    """Makes `folder` importable as the package that workers live in."""
    _package(PACKAGE, folder)


def _package(name: str, folder: str) -> None:
    # What was imported below a package is lost with its module, so the same one is kept.
    known = sys.modules.get(name)
    if known is not None and list(getattr(known, "__path__", ())) == [folder]:
        return
    package = types.ModuleType(name)
    package.__path__ = [folder]
    sys.modules[name] = package


def kit(spec: dict[str, Any]) -> str:
    """The full name of the package that holds what workers have in common."""
    return f"{HOST_PACKAGE}.backends.kit" if spec["backend"] is None else f"{PACKAGE}.kit"


def expose_backends(spec: dict[str, Any]) -> None:
    """Makes our own backends importable, and a third party's, which lives in another folder.

    A step that is built in finds our own package, by its own name, and numpy.
    """
    if spec["backend"] is None:
        _package(HOST_PACKAGE, os.path.dirname(spec["backends"]))
        if spec["packages"] not in sys.path:
            sys.path.append(spec["packages"])
        return
    expose(spec["backends"])
    if "folder" in spec:
        _package(f"{PACKAGE}.{spec['backend']}", spec["folder"])


def worker_module(spec: dict[str, Any]) -> tuple[str, str]:
    """The full name of the worker's module, and the name of its function."""
    module_name, _, function_name = spec["worker"].partition(":")
    if spec["backend"] is None:
        return module_name, function_name
    inside = "" if module_name.startswith("kit.") else f"{spec['backend']}."
    return f"{PACKAGE}.{inside}{module_name}", function_name


def installed_folders(path: Iterable[str]) -> list[Path]:
    """Where the interpreter's own modules and the installed ones lie.

    Args:
        path: `sys.path` as the process began with it.
    """
    paths = sysconfig.get_paths()
    own = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    own += site.getsitepackages()
    return [Path(folder) for folder in (*own, *beside("source_imports").installed_path(path, own))]


def temporary_folders(spec: dict[str, Any]) -> set[str]:
    """Where a step has its temporary files; what it reads there counts as nobody's.

    By hand (`rerun.sh`) it is another folder than the one that the request names.
    """
    return {each for each in (spec.get("temporary"), os.environ.get("TMPDIR")) if each}


def discovery_of(spec: dict[str, Any], path: Iterable[str]) -> Discovery:
    """The record of a step that runs the model's own code."""
    return Discovery(
        Path(spec["project"]),
        [
            *installed_folders(path),
            Path(spec["backends"]),
            Path(spec.get("folder", spec["backends"])),
            Path(spec["action"]),
            Path(__file__).parent,
            *(Path(each) for each in temporary_folders(spec)),
            *([Path(spec["resume"])] if spec.get("resume") else []),
        ],
    )


def perform(spec: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """Runs the worker function that `spec` names and returns its result record.

    Args:
        spec: The request.
        path: `sys.path` as the process began with it: what was imported since may have added to it.
    """
    expose_backends(spec)
    request_module = importlib.import_module(f"{kit(spec)}.request")
    request = request_module.Request(
        inputs={name: Path(path) for name, path in spec["inputs"].items()},
        outputs={name: Path(path) for name, path in spec["outputs"].items()},
        options=spec["options"],
        scratch=Path(spec["scratch"]),
        project=Path(spec["project"]) if spec["project"] else None,
        threads=spec["threads"],
        memory=spec.get("memory"),
        telling=Path(spec["action"]) / PROGRESS,
    )
    discovery = None
    if request.project is not None:
        discovery = discovery_of(spec, path)
        if spec.get("resume"):
            resuming = importlib.import_module(f"{kit(spec)}.resuming")
            request.resume = resuming.Resume(Path(spec["resume"]), discovery.digests)
            now = functools.partial(discovered_digest, spec["project"])
            request.resume.drop_stale(now)
        beside("source_imports").for_children(os.environ, str(request.scratch))
        discovery.start()
        sys.path.insert(0, str(request.project))
        os.chdir(request.project)
        import_sources(request.project, discovery)
        # Any import looks there first. Said here, since in a fork none may be left to do.
        discovery.modules(str(request.project))
    module_name, function_name = worker_module(spec)
    try:
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            # A worker imports nothing but what its toolchain is made of.
            raise request_module.StepError(
                f"the environment of this step has no module `{error.name}`",
                "install it there, or choose `environment: builtin`",
                "environment",
            ) from error
        if discovery is not None:
            discovery.wrap()
        getattr(module, function_name)(request)
    except request_module.StepError as error:
        return {
            "ok": False,
            "error": {"message": error.message, "hint": error.hint, "field": error.field},
        }
    finally:
        if discovery is not None:
            discovery.stop()
    found = discovery.report() if discovery is not None else []
    return {
        "ok": True,
        "notes": request.notes,
        "discovered": found,
        "imported": IMPORTED.report() if IMPORTED is not None else [],
    }


def answer(path: Path, search: Sequence[str]) -> NoReturn:
    """Performs a request, writes `result.json` atomically and leaves at once.

    Args:
        path: The request.
        search: `sys.path` as the process began with it.
    """
    spec = json.loads(path.read_text())
    try:
        result = perform(spec, search)
    except SystemExit as error:
        traceback.print_exc()
        result = {"ok": False, "crash": f"the model's code called sys.exit({error.code!r})"}
    except Exception:
        traceback.print_exc()
        result = {"ok": False, "crash": traceback.format_exc(limit=-1).strip().splitlines()[-1]}
    target = path.with_name("result.json")
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps(result))
    temporary.rename(target)
    # Tearing an interpreter with torch or TensorFlow down takes longer than many a step; all that
    # is left to do is to flush.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main() -> None:
    """Answers one request, or serves many."""
    global IMPORTED
    search = tuple(sys.path)
    IMPORTED = beside("imported").Imported(search)
    sources = beside("source_imports")
    program = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sources.install(sources.trusted(installed_folders(search), program))
    if sys.argv[1] != "--serve":
        answer(Path(sys.argv[1]), search)
    loaded = frozenset(sys.modules)  # Before anything is imported that a cold start does not.
    forking = importlib.util.spec_from_file_location(
        "worker_forks", Path(__file__).with_name("worker_forks.py")
    )
    assert forking is not None and forking.loader is not None  # noqa: PT018
    forks = importlib.util.module_from_spec(forking)
    forking.loader.exec_module(forks)
    start = forks.Start(sys.modules[__name__], search, loaded)
    forks.serve(int(sys.argv[2]), Path(sys.argv[3]), start)


if __name__ == "__main__":
    main()
