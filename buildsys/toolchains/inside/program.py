"""Runs one step inside a toolchain: `python -s -P program.py REQUEST.json`.

This file is started by path with the toolchain's own interpreter, so it imports the standard library
only, and the backend's worker under the synthetic package `modelbuild_backends`; the host package is
never importable here, but for steps that are built in: those have no backend. It writes `result.json`
beside the request and always exits 0 when it could write one: any other end is a crash, which the
engine reports with the log.

With `--serve DESCRIPTOR FOLDER` it stays, and forks a child for each step; see `forks.py`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.util
import json
import os
import site
import sys
import sysconfig
import traceback
import types
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

PACKAGE = "modelbuild_backends"
HOST_PACKAGE = "buildsys"
"""The package that steps are in that are built in."""
PROGRESS = "progress.jsonl"
"""The file in an action's folder that it says how far it is in."""


def _inside(name: str) -> types.ModuleType:
    """Loads a module of this folder for good, whichever way this one was loaded."""
    if __name__.endswith("inside.program"):
        return importlib.import_module(f"{__package__}.{name}")
    full = f"modelbuild_{name}"
    if full not in sys.modules:
        path = Path(__file__).with_name(f"{name}.py")
        spec = importlib.util.spec_from_file_location(full, path)
        assert spec is not None and spec.loader is not None  # noqa: PT018
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


if TYPE_CHECKING:
    from buildsys.toolchains.inside import hook, reads, watch
else:
    reads, watch, hook = map(_inside, ("reads", "watch", "hook"))

ABSENT, FILE, FOLDER = reads.ABSENT, reads.FILE, reads.FOLDER
MODULES, PRESENCE, UNSEEN = reads.MODULES, reads.PRESENCE, reads.UNSEEN
Discovery = hook.Discovery
discovered_digest = reads.discovered_digest


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
    """Loads a module of this folder, which no `sys.path` of a worker holds."""
    path = Path(__file__).with_name(f"{name}.py")
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


@functools.cache
def installed_folders(path: tuple[str, ...]) -> tuple[Path, ...]:
    """Where the interpreter's own modules and the installed ones lie.

    Args:
        path: `sys.path` as the process began with it.
    """
    paths = sysconfig.get_paths()
    own = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    own += site.getsitepackages()
    return tuple(map(Path, (*own, *beside("source_imports").installed_path(path, own))))


def temporary_folders(spec: dict[str, Any]) -> set[str]:
    """Where a step has its temporary files; what it reads there counts as nobody's.

    By hand (`rerun.sh`) it is another folder than the one that the request names.
    """
    return {each for each in (spec.get("temporary"), os.environ.get("TMPDIR")) if each}


def ignored_folders(spec: dict[str, Any], path: Sequence[str]) -> list[Path]:
    """Folders whose files do not count as read by a step: they are in its key by other ways."""
    return [
        *common_folders(spec, path),
        Path(spec["action"]),
        *(Path(each) for each in temporary_folders(spec)),
        *([Path(spec["resume"])] if spec.get("resume") else []),
    ]


def common_folders(spec: dict[str, Any], path: Sequence[str]) -> list[Path]:
    """Those of `ignored_folders` that are the same for all steps of a backend."""
    programs = {Path(prefix) / "bin" for prefix in (sys.prefix, sys.base_prefix)}
    return [
        *installed_folders(tuple(path)),
        *programs,
        Path(sys.prefix) / "pyvenv.cfg",
        *(Path(sys.base_prefix) / name for name in ("lib", "include", "share")),
        Path(spec["backends"]),
        Path(spec.get("folder", spec["backends"])),
        Path(__file__).parent,
    ]


def discovery_of(spec: dict[str, Any], path: Sequence[str]) -> Discovery:
    """The record of a step that runs the model's own code."""
    return Discovery(spec["project"], ignored_folders(spec, path))


def prepare_watch(spec: dict[str, Any], path: Sequence[str]) -> None:
    """Does once what `watched_step` needs, in a process that is forked for many steps."""
    if os.environ.get(watch.SWITCH) != watch.PYTHON:
        _inside("syscalls")
        for folder in common_folders(spec, path):
            reads.forms(os.fspath(folder))


def watched_step(spec: dict[str, Any], path: Sequence[str]) -> watch.Watched | str | None:
    """Puts a watcher above this process, where the step runs the model's own code.

    Returns:
        What installs the kernel's part of it; why that cannot be had, in words; `None` where nothing of
        the user's is run.
    """
    if spec["project"] is None:
        return None
    if os.environ.get(watch.SWITCH) == watch.PYTHON:
        return f"`{watch.SWITCH}` says so"
    kernel = _inside("syscalls")
    try:
        kernel.machine()
        record = reads.Reads(spec["project"], ignored_folders(spec, path))
        return watch.split(record, kernel, spec["action"])
    except (kernel.Unavailable, OSError) as error:
        return str(error)


def watch_from_here(
    discovery: Discovery, watched: watch.Watched | str | None, folder: str
) -> str | None:
    """Has the kernel announce what is read from now on; says why it does not, where it does not."""
    reason = watched if isinstance(watched, str) else None
    if isinstance(watched, watch.Watched):
        kernel = _inside("syscalls")
        try:
            watched.begin()
        except (kernel.Unavailable, OSError) as error:
            reason = str(error)
        else:
            discovery.tell_children(folder, watched.file)
            discovery.watched_by(watched)
            return None
    discovery.tell_children(folder, None)
    return reason


def settle_vector_functions() -> None:
    """Calls one of torch's vector functions on one thread, where torch is imported.

    MKL settles how exact its `tanh`, `exp` and the like are at the first call of any of them in a process.
    Where two threads make that call together, the second one may compute its part in a mode that is off by
    5e-5: one process in seven, with torch 2.13 on two cores. A reference must not be that part's.
    """
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.full((16,), 0.5).tanh()


def perform(
    spec: dict[str, Any], path: Sequence[str], watched: watch.Watched | str | None = None
) -> dict[str, Any]:
    """Runs the worker function that `spec` names and returns its result record.

    Args:
        spec: The request.
        path: `sys.path` as the process began with it: what was imported since may have added to it.
        watched: What `watched_step` gave.
    """
    expose_backends(spec)
    request_module = importlib.import_module(f"{kit(spec)}.protocol.request")
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
    discovery = unwatched = None
    if request.project is not None:
        discovery = discovery_of(spec, path)
        if spec.get("resume"):
            resuming = importlib.import_module(f"{kit(spec)}.protocol.resuming")
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
        settle_vector_functions()
        if discovery is not None:
            discovery.wrap()
            unwatched = watch_from_here(discovery, watched, spec["action"])
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
        "unwatched": unwatched,
        "imported": IMPORTED.report() if IMPORTED is not None else [],
    }


def answer(path: Path, search: Sequence[str], spec: dict[str, Any] | None = None) -> NoReturn:
    """Performs a request, writes `result.json` atomically and leaves at once.

    Args:
        path: The request.
        search: `sys.path` as the process began with it.
        spec: What the request says, where it was read already.
    """
    spec = spec or json.loads(path.read_text())
    watched = watched_step(spec, search)
    try:
        result = perform(spec, search, watched)
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
    # is left to do is to flush, and to end what the step has started.
    sys.stdout.flush()
    sys.stderr.flush()
    beside("orphans").end_children()
    os._exit(0)


def main() -> None:
    """Answers one request, or serves many."""
    global IMPORTED
    search = tuple(sys.path)
    IMPORTED = beside("imported").Imported(search)
    beside("orphans").adopt()
    sources = beside("source_imports")
    program = str(Path(os.path.abspath(__file__)).parents[2])
    sources.install(sources.trusted(installed_folders(search), program))
    if sys.argv[1] != "--serve":
        answer(Path(sys.argv[1]), search)
    loaded = frozenset(sys.modules)  # Before anything is imported that a cold start does not.
    forking = importlib.util.spec_from_file_location("forks", Path(__file__).with_name("forks.py"))
    assert forking is not None and forking.loader is not None  # noqa: PT018
    forks = importlib.util.module_from_spec(forking)
    forking.loader.exec_module(forks)
    start = forks.Start(sys.modules[__name__], search, loaded)
    forks.serve(int(sys.argv[2]), Path(sys.argv[3]), start)


if __name__ == "__main__":
    main()
