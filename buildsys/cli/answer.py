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
from contextlib import suppress

from buildsys import validity
from buildsys.validity import Stat, Unknown, stat_of, store_root, young

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
DAY = validity.DAY
"""Once a day the usual path is taken, which also says to the store what is still in use."""
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
        record = validity.read(_path(asked))
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
    if not validity.unchanged(record["files"], record["absent"]):
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
    if seen is not None and stat_of(folder) == seen and _packages(packages) == packages:
        return True
    from buildsys.toolchains.inside import program

    return program.discovered_digest(project, name) == digest


def _packages(folders: Iterable[str]) -> dict[str, bool]:
    """Which folders are packages: a folder's own time does not tell of its folders'."""
    return {folder: os.path.isfile(os.path.join(folder, "__init__.py")) for folder in folders}


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
    return os.path.join(
        store_root(), FOLDER, validity.checksum_of(json.dumps(asked).encode()).decode()
    )


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
    with open(os.path.join(store_root(), KEY_FILE), "rb") as stream:
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
    path = os.path.join(store_root(), KEY_FILE)
    shelf = os.path.join(store_root(), FOLDER)
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
        validity.write(_path(asked), record)


def _record(session: Session, graph: ActionGraph, run: Run, folder: Path | None) -> dict[str, Any]:
    from buildsys.engine.outcome.placing import REJECTED
    from buildsys.report.record import NAME
    from buildsys.store.inventory import RECORD

    engine, outline = session.engine, session.outline
    if not engine.memo.settled or session.asks_machine(graph):
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
        looked.update({path: stat_of(path) for path in (*records, *strays)})
    for path in (*_other_inputs(session, graph), *stored):
        looked.setdefault(path, stat_of(path))
    files, absent = validity.settled(looked, _Question.started, {*stored, *own})
    index = os.path.join(engine.root, "index.sqlite")
    listings = engine.looked.listings if engine.looked is not None else {}
    return {
        "written": time.time(),
        "machine": _machine() if any(a.timed for a in graph.actions.values()) else None,
        "environ": _digests(outline.environment, _own_secret()) if outline.environment else {},
        "index": [index, os.stat(index).st_ino],
        "project": str(outline.folder),
        "files": files,
        "absent": absent,
        "listings": [_listing(outline.folder, *row) for row in listings.items()],
    }


def _other_inputs(session: Session, graph: ActionGraph) -> Iterable[str]:
    """What was read past the memo: the recipe, this program, environments, what was placed."""
    from buildsys import settings
    from buildsys.engine.staleness.needs import SCRIPTS

    outline = session.outline
    yield from session.planned_from
    yield str(settings.config_file())
    # A recipe that is nearer to where we are called would be taken instead of this one.
    folder = os.getcwd()
    while folder != str(outline.folder) and folder != os.path.dirname(folder):
        yield os.path.join(folder, outline.path.name)
        folder = os.path.dirname(folder)
    for backend in session.backend_folders:
        for root, folders, names in os.walk(backend):
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
    seen = stat_of(folder)
    if seen is not None and young(seen, time.time_ns()):
        time.sleep(FINE_NS / 1e9)  # The folder of artifacts may have been made in it just now.
        seen = stat_of(folder)
    packages = _packages(entry.path for entry in os.scandir(folder) if entry.is_dir())
    if program.discovered_digest(str(project), name) != digest:
        raise Unknown
    if seen is None or young(seen, time.time_ns()):
        return [name, digest, None, packages]  # Looked into every time.
    return [name, digest, seen, packages]
