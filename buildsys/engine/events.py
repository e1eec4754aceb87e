"""What a build tells while it runs. The console and `--json` are two listeners of one stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

VERSION = 1


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        event: `version`, `toolchain`, `action_started`, `action_progress`, `action_finished`,
            `gate`, `diagnostic`, `search`, `candidate`, `chosen` or `finished`.
        fields: The rest of the JSON form.
    """

    event: str
    fields: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The line of `build --json`."""
        return {"event": self.event, **self.fields}


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""
