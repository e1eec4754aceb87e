"""Actions as the planner writes them down, before a graph gives them ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from buildsys.backends.output import Output
from buildsys.planner.graph import FileInput, OutputRef, Worker

_NUMBERS = count()


class DraftOutput(NamedTuple):
    """An output of a drafted action."""

    draft: Draft
    output: str


DraftInput = FileInput | DraftOutput | OutputRef
"""An `OutputRef` is of an action that the graph has already."""


@dataclass(eq=False, slots=True)
class Draft:
    """An action without an id.

    Its fields are those of `graph.Action`, but for these.

    Attributes:
        slot: Names it in the graph, with its rule: a label, or what it belongs to.
        number: Drafts are added to a graph in the order in which they were made.
        id: Its id in the graph, once it is there.
    """

    rule: str
    worker: Worker
    slot: str
    environment: str | None
    outputs: tuple[Output, ...]
    inputs: Mapping[str, DraftInput] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    user_code: bool = False
    origin: tuple[str | int, ...] = ()
    asked: tuple[str | int, ...] = ()
    unavailable: str | None = None
    resources: Mapping[str, int] = field(default_factory=dict)
    instead: tuple[str, ...] = ()
    resumes: bool = False
    timed: bool = False
    way: str | None = None
    number: int = field(default_factory=_NUMBERS.__next__, init=False)
    id: str | None = field(default=None, init=False)

    def __getitem__(self, output: str) -> DraftOutput:
        """One of its outputs, for the inputs of others."""
        return DraftOutput(self, output)
