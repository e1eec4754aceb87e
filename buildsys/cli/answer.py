"""The answer to a command that had nothing to do, kept as long as nothing that it looked at has changed.

A build or a plan that ends with everything up to date leaves the list of all that it looked at (the
recipe, the user's files, artifacts, stored figures, environments, this program's own modules), each
with its stat, and what it printed. The next call of the same command line compares stats, and when all
of them agree, prints the same. So a no-op costs one stat a file: nothing is parsed, hashed or asked of
the index. Whatever differs, or cannot be known in this way, takes the usual path.

It is sound because the usual path is a function of what is on the list: nothing on it may be younger
than the command's own start, but for what the command itself wrote and has read again.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from contextlib import suppress

TYPE_CHECKING = False  # Not from `typing`, which takes longer to import than all that is done here.
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import Any

    from buildsys.engine.run import Run
    from buildsys.engine.session import Session
    from buildsys.planner.graph import ActionGraph

VERSION = 2
COMMANDS = ("build", "plan")
FOLDER = "answers"
KEY_FILE = "secret"
"""A file of the store with random bytes: values of a recipe's variables are kept as digests by it."""
SECRET_BYTES = 32
DAY = 86_400.0
"""Seconds. Once a day the usual path is taken, which also says to the store what is still in use."""
KEPT = 30 * DAY
ENVIRONMENT = (
    "MODELBUILD_CACHE",
    "MODELBUILD_TOOLCHAINS",
    "MODELBUILD_CONFIG",
    "MODELBUILD_CACHE_MAX_SIZE",
    "PYTHONPATH",
    "NO_COLOR",
    "FORCE_COLOR",
    "TERM",
    "COLORTERM",
    "COLUMNS",
    "LANG",
    "LC_ALL",
    "HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
)
"""Variables that decide what is read or how it is shown."""

Stat = list[int]


class _Question:
    """The command that runs.

    Attributes:
        asked: Its line, and all that decides how its answer is shown; `None` where it is not one that
            is remembered.
        started: When it began (POSIX nanoseconds): what is younger may have changed meanwhile.
    """

    asked: list[Any] | None = None
    started = 0


def recall(arguments: Sequence[str]) -> str | None:
    """What the same command printed the last time, if all that it looked at is as it was then."""
    _Question.started = time.time_ns()
    _Question.asked = None
    if not arguments or arguments[0] not in COMMANDS:
        return None
    try:
        asked = _Question.asked = _asked(arguments)
        with open(_path(asked), "rb") as stream:
            checksum, _, body = stream.read().partition(b"\n")
        if _checksum(body) != checksum:
            return None
        record = json.loads(body)
        if record["asked"] != asked or not 0 <= time.time() - record["written"] < DAY:
            return None
        if not _holds(record):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    text: str = record["text"]
    return text


def _holds(record: dict[str, Any]) -> bool:
    environ = record["environ"]
    if environ and _digests(environ, _secret()) != environ:
        return False
    index, inode = record["index"]
    if os.stat(index).st_ino != inode:
        return False
    stat = os.stat
    for path, (size, mtime, ctime, inode) in record["files"].items():
        now = stat(path)
        if (
            now.st_mtime_ns != mtime
            or now.st_ctime_ns != ctime
            or now.st_size != size
            or now.st_ino != inode
        ):
            return False
    if any(os.path.lexists(path) for path in record["absent"]):
        return False
    if record["machine"] is not None and _machine() != record["machine"]:
        return False
    return all(_lists(record["project"], *row) for row in record["listings"])


def _machine() -> str:
    from buildsys.backends.kit.run.machine import machine_name

    return machine_name()


def _lists(
    project: str, name: str, digest: str, seen: Stat | None, packages: dict[str, bool]
) -> bool:
    """Whether a folder still offers the same names; only looked into when its time is another one."""
    folder = os.path.dirname(os.path.join(project, name))
    if seen is not None and _stat(folder) == seen and _packages(packages) == packages:
        return True
    from buildsys.toolchains.inside import program

    return program.discovered_digest(project, name) == digest


def _packages(folders: Iterable[str]) -> dict[str, bool]:
    """Which folders are packages: a folder's own time does not tell of its folders'."""
    return {folder: os.path.isfile(os.path.join(folder, "__init__.py")) for folder in folders}


def _stat(path: str) -> Stat | None:
    try:
        now = os.stat(path)
    except OSError:
        return None
    return [now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino]


def _asked(arguments: Sequence[str]) -> list[Any]:
    """A command line, where it is called, and how its answer is shown."""
    try:
        width = os.get_terminal_size(sys.stdout.fileno()).columns
    except (AttributeError, OSError, ValueError):  # No terminal, or no output at all.
        width = 0
    variables = [os.environ.get(name) for name in ENVIRONMENT]
    return [VERSION, list(arguments), os.getcwd(), sys.executable, width, variables]


def _path(asked: list[Any]) -> str:
    """Where the answer lies. Two questions may share a file; then the later one has it."""
    return os.path.join(_root(), FOLDER, _checksum(json.dumps(asked).encode()).decode())


def _digests(names: Iterable[str], secret: bytes) -> dict[str, str | None]:
    """The values of variables as keyed digests, `None` where one is unset: they may be passwords."""
    import hmac  # Only for a recipe that has variables: the import takes longer than the comparison.

    found = {name: os.environ.get(name) for name in names}
    return {
        name: None
        if value is None
        else hmac.new(secret, os.fsencode(f"{name}={value}"), "sha256").hexdigest()
        for name, value in found.items()
    }


def _secret() -> bytes:
    """The store's own random bytes, read.

    Raises:
        OSError: There are none yet.
        ValueError: They are damaged.
    """
    with open(os.path.join(_root(), KEY_FILE), "rb") as stream:
        found = stream.read()
    if len(found) != SECRET_BYTES:
        raise ValueError
    return found


def _own_secret() -> bytes:
    """The store's own random bytes, made where there are none.

    Answers that were kept before there were any hold values as they are: they are removed.
    """
    with suppress(OSError, ValueError):
        return _secret()
    path = os.path.join(_root(), KEY_FILE)
    shelf = os.path.join(_root(), FOLDER)
    with suppress(FileNotFoundError):
        for entry in os.scandir(shelf):
            os.unlink(entry.path)
    temporary = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(os.urandom(SECRET_BYTES))
    os.replace(temporary, path)
    return _secret()  # Of two that made one at once, the later has it.


def _checksum(data: bytes) -> bytes:
    return b"%08x" % zlib.crc32(data)


def _root() -> str:
    given = os.environ.get("MODELBUILD_CACHE")
    if given:
        return os.path.abspath(given)
    from platformdirs import user_cache_path

    return str(user_cache_path("modelbuild"))


class Unknown(Exception):
    """Something was looked at whose state cannot be known by a stat."""


def keep(session: Session, graph: ActionGraph, run: Run, folder: Path | None, text: str) -> None:
    """Remembers the answer of a command that found, or left, everything up to date.

    Args:
        session: What it worked with.
        graph: What it worked on.
        run: What each action gave.
        folder: Where artifacts were placed; `None` for a plan, which looks at none.
        text: What it prints when there is nothing to do.
    """
    asked = _Question.asked
    if asked is None:
        return
    with suppress(Unknown, OSError, ValueError):
        record = _record(session, graph, run, folder) | {"asked": asked, "text": text}
        body = json.dumps(record, ensure_ascii=False).encode()
        path = _path(asked)
        shelf = os.path.dirname(path)
        os.makedirs(shelf, exist_ok=True)
        temporary = f"{path}.{os.getpid()}"
        with open(temporary, "wb") as stream:
            stream.write(_checksum(body) + b"\n" + body)
        os.replace(temporary, path)
        _sweep(shelf)


def _sweep(folder: str) -> None:
    old = time.time() - KEPT
    for entry in os.scandir(folder):
        if entry.stat().st_mtime < old:
            os.unlink(entry.path)


def _record(session: Session, graph: ActionGraph, run: Run, folder: Path | None) -> dict[str, Any]:
    from buildsys.engine.outcome.placing import REJECTED
    from buildsys.report.record import NAME
    from buildsys.store.inventory import RECORD

    engine, recipe = session.engine, session.recipe
    if not engine.memo.settled or _asks_machine(session, graph):
        raise Unknown
    looked: dict[str, Stat | None] = {
        path: None if found is None else list(found) for path, found in engine.memo.looked.items()
    }
    # What the command itself writes may be younger than its start; exact names, since the store or
    # the folder of artifacts may well hold the project.
    stored = set(engine.store.evidence(_verdicts(graph, run)))
    own = [str(session.provisioner.root)]
    if folder is not None:
        records = [str(folder / name) for name in (RECORD, NAME)]
        own += [*records, *(str(folder / d.target / d.filename) for d in graph.deployables)]
        # What must not lie there: an artifact that was rejected before it was right.
        strays = [str(folder / REJECTED / d.target / d.filename) for d in graph.deployables]
        looked.update({path: _stat(path) for path in (*records, *strays)})
    mine = stored.union(own)
    below = tuple(path + os.sep for path in own)
    for path in (*_other_inputs(session, graph), *stored):
        looked.setdefault(path, _stat(path))
    files, absent = {}, []
    for path, seen in looked.items():
        if seen is None:
            absent.append(path)
        elif _young(seen, _Question.started) and path not in mine and not path.startswith(below):
            raise Unknown  # It was written while we worked, or a moment before.
        elif _stat(path) != seen:
            raise Unknown
        else:
            files[path] = seen
    index = os.path.join(engine.root, "index.sqlite")
    listings = engine.looked.listings if engine.looked is not None else {}
    return {
        "written": time.time(),
        "machine": _machine() if any(a.timed for a in graph.actions.values()) else None,
        "environ": _digests(recipe.environment, _own_secret()) if recipe.environment else {},
        "index": [index, os.stat(index).st_ino],
        "project": str(recipe.folder),
        "files": files,
        "absent": absent,
        "listings": [_listing(recipe.folder, *row) for row in listings.items()],
    }


def _young(seen: Stat, moment: int) -> bool:
    """Whether what a stat was taken of could have changed after a moment and show the same times."""
    from buildsys.store.memo import grain

    return max(seen[1], seen[2]) > moment - grain(seen[1])


def _asks_machine(session: Session, graph: ActionGraph) -> bool:
    """Whether a rule or a runtime looks at this machine by itself (a GPU, a Mac): no stat tells of it."""
    asking = {rule.name for _, rule in session.catalog.rules if rule.asks_machine}
    formats = session.catalog.formats
    declared = [formats[d.format] for d in graph.deployables if d.format in formats]
    runtimes = [by for f in declared for by in (f.runtime, f.evaluator)]
    return any(action.rule in asking for action in graph.actions.values()) or any(
        runtime is not None and runtime.asks_machine for runtime in runtimes
    )


def _other_inputs(session: Session, graph: ActionGraph) -> Iterable[str]:
    """What was read past the memo: the recipe, this program, environments, what was placed."""
    from buildsys import settings
    from buildsys.engine.staleness.implementation import SCRIPTS

    recipe = session.recipe
    yield from map(str, recipe.files)
    yield str(recipe.lock)
    yield str(settings.config_file())
    # A recipe that is nearer to where we are called would be taken instead of this one.
    folder = os.getcwd()
    while folder != str(recipe.folder) and folder != os.path.dirname(folder):
        yield os.path.join(folder, recipe.path.name)
        folder = os.path.dirname(folder)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and module.__name__.partition(".")[0] == "buildsys":
            yield file
    for backend in session.catalog.backends:
        yield str(backend.folder.parent)
        for root, folders, names in os.walk(backend.folder):
            folders[:] = [name for name in folders if name != "__pycache__"]
            yield root
            yield from (os.path.join(root, name) for name in names if name.endswith(SCRIPTS))
    # What is installed beside us: packages with backends, numpy, all of environment `host`.
    yield from (path for path in sys.path if path and os.path.isdir(path))
    for environment in {a.environment for a in graph.actions.values() if a.environment}:
        yield from map(str, session.environments.evidence(environment))


def _verdicts(graph: ActionGraph, run: Run) -> set[str]:
    """The digests that verdicts are made of."""
    from buildsys.engine.engine import needed

    return {digest for each in graph.deployables for digest in needed(each, run)}


def _listing(project: os.PathLike[str], name: str, digest: str) -> list[Any]:
    """A folder's names, with the time by which a change of them would show."""
    from buildsys.store.memo import FINE_NS
    from buildsys.toolchains.inside import program

    folder = os.path.dirname(os.path.join(project, name))
    seen = _stat(folder)
    if seen is not None and _young(seen, time.time_ns()):
        time.sleep(FINE_NS / 1e9)  # The folder of artifacts may have been made in it just now.
        seen = _stat(folder)
    packages = _packages(entry.path for entry in os.scandir(folder) if entry.is_dir())
    if program.discovered_digest(str(project), name) != digest:
        raise Unknown
    if seen is None or _young(seen, time.time_ns()):
        return [name, digest, None, packages]  # Looked into every time.
    return [name, digest, seen, packages]
