"""Who receives a build's events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from buildsys.engine.events import Event

Listener: TypeAlias = "Callable[[Event], None]"


def ignore(event: Event) -> None:
    """A listener that does nothing."""
