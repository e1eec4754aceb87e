"""The command that runs, and where its answer is kept."""

from __future__ import annotations

import json
import os
import sys

from buildsys import validity
from buildsys.validity import store_root

TYPE_CHECKING = False  # Not from `typing`, which takes longer to import than all that is done here.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

VERSION = 3
COMMANDS = ("build", "plan")
FOLDER = "answers"
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


class Question:
    """The command that runs.

    Attributes:
        asked: Its line, and all that decides how its answer is shown; `None` where it is not one that
            is remembered.
        started: When it began (POSIX nanoseconds): what is younger may have changed meanwhile.
        record: What the last such command found, where only files of some deployables have changed.
        changed: Which of the record's parts have.
    """

    asked: list[Any] | None = None
    started = 0
    record: dict[str, Any] | None = None
    changed: tuple[int, ...] = ()


def asked(arguments: Sequence[str]) -> list[Any]:
    """A command line, where it is called, and how its answer is shown."""
    try:
        width = os.get_terminal_size(sys.stdout.fileno()).columns
    except (AttributeError, OSError, ValueError):  # No terminal, or no output at all.
        width = 0
    variables = [os.environ.get(name) for name in ENVIRONMENT]
    return [VERSION, list(arguments), os.getcwd(), sys.executable, width, variables]


def path_of(question: list[Any]) -> str:
    """Where the answer lies. Two questions may share a file; then the later one has it."""
    return os.path.join(
        store_root(), FOLDER, validity.checksum_of(json.dumps(question).encode()).decode()
    )
