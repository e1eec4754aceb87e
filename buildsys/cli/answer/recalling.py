"""The answer to a command that had nothing to do, kept as long as nothing that it looked at has changed.

A build or a plan that ends with everything up to date leaves the list of all that it looked at (the
recipe, the user's files, artifacts, stored figures, environments, this program's own modules), each
with its stat, and what it printed. The next call of the same command line compares stats, and when all
of them agree, prints the same. So a no-op costs one stat a file: nothing is parsed, hashed or asked of
the index. Whatever differs, or cannot be known in this way, takes the usual path.

Of a build, each file belongs to one component of the graph, or to none. Where only files of some components
have changed, only those are built; `report.json` keeps what it says of the others. See `partial`.

It is sound because the usual path is a function of what is on the list: nothing on it may be younger
than the command's own start, but for what the command itself wrote and has read again.
"""

from __future__ import annotations

import os
import time

from buildsys import validity
from buildsys.cli.answer.question import COMMANDS, Question, asked, path_of
from buildsys.validity import Stat, stat_of

TYPE_CHECKING = False  # Not from `typing`, which takes longer to import than all that is done here.
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


def recall(arguments: Sequence[str]) -> str | None:
    """What the same command printed the last time, if all that it looked at is as it was then."""
    Question.started = time.time_ns()
    Question.asked = Question.record = None
    if not arguments or arguments[0] not in COMMANDS:
        return None
    try:
        question = Question.asked = asked(arguments)
        record = validity.read(path_of(question))
        # Once a day the usual path is taken, which also says to the store what is still in use.
        if record["asked"] != question or not 0 <= time.time() - record["written"] < validity.DAY:
            return None
        changed = validity.changed(record["files"])
        parts = _parts(record, changed) if changed else ()
        if parts is None or not _rest_holds(record):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if parts:
        Question.record, Question.changed = record, parts
        return None
    text: str = record["text"]
    return text


def _parts(record: dict[str, Any], changed: list[str]) -> tuple[int, ...] | None:
    """The components that files belong to; `None` where one belongs to none, or where it is all of them."""
    starts = [start for start, _, _ in record["parts"]]
    wanted = set(changed)
    found = set()
    for number, path in enumerate(record["files"]):
        if path in wanted:
            found.add(sum(start <= number for start in starts) - 1)
    return None if -1 in found or len(found) == len(starts) else tuple(sorted(found))


def _rest_holds(record: dict[str, Any]) -> bool:
    """Whether all else is as it was that is not a file."""
    environ = record["environ"]
    if environ:
        from buildsys.cli.answer.secret import digests, secret

        if digests(environ, secret()) != environ:
            return False
    index, inode = record["index"]
    if os.stat(index).st_ino != inode or validity.appeared(record["absent"]):
        return False
    if record["machine"] is not None and machine() != record["machine"]:
        return False
    return all(_lists(record["project"], *row) for row in record["listings"])


def machine() -> str:
    """What this machine is called, as in keys."""
    from buildsys.backends.kit.run.machine import machine_name

    return machine_name()


def _lists(
    project: str, name: str, digest: str, seen: Stat | None, packages: dict[str, bool]
) -> bool:
    """Whether a folder still offers the same names; only looked into when its time is another one."""
    folder = os.path.dirname(os.path.join(project, name))
    if seen is not None and stat_of(folder) == seen and packages_of(packages) == packages:
        return True
    from buildsys.toolchains.inside import program

    return program.discovered_digest(project, name) == digest


def packages_of(folders: Iterable[str]) -> dict[str, bool]:
    """Which folders are packages: a folder's own time does not tell of its folders'."""
    return {folder: os.path.isfile(os.path.join(folder, "__init__.py")) for folder in folders}
