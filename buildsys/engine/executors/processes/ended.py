"""How the process of an action ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """An end, good or bad.

    Attributes:
        code: The exit status; negative for a signal.
        seconds: Wall time of the process.
        started_ns: A time before it started (POSIX nanoseconds) that no file it touched is older than.
        peak_rss: Peak resident memory in bytes.
        cpu: Processor time in seconds.
        wait: Seconds before it was started.
        timed_out: Whether it was killed for being too slow.
        lost: How the host around it ended, where that is the reason.
        excess: Bytes of memory that it took, where it was killed for them.
    """

    code: int
    seconds: float
    started_ns: int = 0
    peak_rss: int = 0
    cpu: float = 0.0
    wait: float = 0.0
    timed_out: bool = False
    lost: str | None = None
    excess: int | None = None


@dataclass(frozen=True)
class Refused:
    """A host will not do an action: it needs a process of its own.

    Attributes:
        reason: Why.
        always: Whether that holds for all actions of the environment.
        wait: Seconds until that was known.
    """

    reason: str
    always: bool
    wait: float
