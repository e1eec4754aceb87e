"""The exit statuses of `modelbuild`: what each means, in one place."""

from __future__ import annotations

import enum


class ExitStatus(enum.IntEnum):
    """How a command ended, as scripts see it."""

    OK = 0
    FAILED = 1
    """A step failed, or a file is not what it should be."""
    USAGE = 2
    """The command line, the user's settings or the recipe are wrong."""
    REJECTED = 3
    """An artifact did not pass, or a comparison did not hold."""
    NO_MATCH = 4
    """A selector matches nothing."""
    ENVIRONMENT = 5
    """This machine cannot do it: a toolchain, the store, a missing device."""
    STALE = 6
    """`plan --check`: a build would run something."""
    BUG = 70
    """A bug of modelbuild."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C or SIGTERM."""
