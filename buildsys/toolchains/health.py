"""How a toolchain is: what `modelbuild doctor` asks of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """Whether a toolchain can be used."""

    READY = "ready"
    ABSENT = "not made yet"
    BROKEN = "broken"
    IMPOSSIBLE = "cannot be made"


@dataclass(frozen=True)
class Health:
    """One toolchain.

    Attributes:
        name: Its name.
        state: How it is.
        folder: Where it is, or will be; `None` where its lock cannot be read.
        reason: What is wrong.
        hint: What would mend it.
        packages: How many it holds.
    """

    name: str
    state: State
    folder: Path | None
    reason: str | None = None
    hint: str | None = None
    packages: int | None = None

    @property
    def usable(self) -> bool:
        """Whether a build can go by it, making it where it is missing."""
        return self.state in (State.READY, State.ABSENT)
