"""A recipe as a tree: plain data, and where each piece of it was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from buildsys.recipe.text.position import Position, Source

Key = str | int
Path_ = tuple[Key, ...]


@dataclass(slots=True, eq=False)
class Node:
    """A value of the document. Aliases share nodes.

    Attributes:
        source: The file that it is written in.
        start: Offset of its first character.
        end: Offset behind what is underlined; equal to `start` for an empty value.
        data: The value as plain data, keys being strings.
        children: The edges to its children by key or index; empty for scalars.
        size: How many values it holds, itself included, with aliases expanded.
        broken: Whether its value could not be made and a finding says so already.
    """

    source: Source
    start: int
    end: int
    data: Any = None
    children: dict[Key, Edge] = field(default_factory=dict)
    size: int = 1
    broken: bool = False

    def position(self) -> Position:
        """Where the value is written."""
        return self.source.position(self.start, self.end)


@dataclass(slots=True, eq=False)
class Edge:
    """The way from a collection to one of its values. Nothing is changed in it once it is made.

    Attributes:
        node: The value.
        source: The file that the key is written in; `None` for the items of a list.
        start: Offset of the key.
        end: Offset behind the key.
        via: Where an alias, a merge key or an include brought the value in.
    """

    node: Node
    source: Source | None = None
    start: int = 0
    end: int = 0
    via: tuple[Position, ...] = ()

    def key_position(self) -> Position:
        """Where the key is written; for an item of a list, where its value is."""
        if self.source is None:
            return self.node.position()
        return self.source.position(self.start, self.end)

    def value_position(self) -> Position:
        """Where the value is written; for an empty value, where its key is."""
        if self.node.start == self.node.end:
            return self.key_position()
        return self.node.position()

    def brought_by(self, place: Position) -> Edge:
        """The same edge, brought in by one more place."""
        return replace(self, via=(*self.via, place))


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to.

    Attributes:
        node: The value, or the nearest collection above it that exists.
        edge: The edge that led to it; `None` at the top.
        depth: How many keys of the path exist.
        via: The places that brought in anything on the way, outermost first.
    """

    node: Node
    edge: Edge | None
    depth: int
    via: tuple[Position, ...]

    def key_position(self) -> Position:
        """Where the key is written; at the top, where the document begins."""
        return self.node.position() if self.edge is None else self.edge.key_position()

    def value_position(self) -> Position:
        """Where the value is written."""
        return self.node.position() if self.edge is None else self.edge.value_position()


def follow(root: Node, path: Sequence[Key]) -> Found:
    """Walks down a path as far as it exists."""
    node, last, depth = root, None, 0
    via: tuple[Position, ...] = ()
    for key in path:
        edge = node.children.get(key)
        if edge is None:
            break
        node, last, depth = edge.node, edge, depth + 1
        via += edge.via
    return Found(node, last, depth, via)


def select(root: Node, pattern: Sequence[Key]) -> Iterator[tuple[Path_, Found]]:
    """The values at the paths that a pattern fits; `*` in it stands for any key or index."""
    yield from _select(root, tuple(pattern), (), None, ())


def _select(
    node: Node, pattern: Path_, path: Path_, edge: Edge | None, via: tuple[Position, ...]
) -> Iterator[tuple[Path_, Found]]:
    if not pattern:
        yield path, Found(node, edge, len(path), via)
        return
    head, rest = pattern[0], pattern[1:]
    for key in list(node.children) if head == "*" else [head]:
        child = node.children.get(key)
        if child is not None:
            yield from _select(child.node, rest, (*path, key), child, via + child.via)
