"""How a toolchain is: what `modelbuild doctor` asks of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buildsys.toolchains.environments.verification import Damage


class State(StrEnum):
    """Whether a toolchain can be used."""

    READY = "ready"
    ABSENT = "not made yet"
    ALTERED = "altered"
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
        altered: How it differs from what was put into it.
        damage: Files that are not what was installed, by package.
    """

    name: str
    state: State
    folder: Path | None
    reason: str | None = None
    hint: str | None = None
    packages: int | None = None
    altered: tuple[str, ...] = ()
    damage: tuple[Damage, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether a build can go by it, making it where it is missing or altered."""
        return self.state in (State.READY, State.ABSENT, State.ALTERED)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "name": self.name,
            "state": self.state.value,
            "folder": str(self.folder) if self.folder is not None else None,
            "reason": self.reason,
            "hint": self.hint,
            "packages": self.packages,
            "altered": list(self.altered),
            "damage": [each.to_json() for each in self.damage],
        }
