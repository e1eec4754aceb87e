"""YAML text to a tree of nodes.

PyYAML's own composer forgets where an alias was used, and its constructor forgets positions; so the
parser's events are composed here. libyaml does the parsing where it is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.text.document import Edge, Key, Node
from buildsys.recipe.text.interpolation import Interpolated, interpolate, locate
from buildsys.recipe.text.position import Position, Source
from buildsys.recipe.text.scalars import KNOWN_TAGS, TagMismatchError, resolve, resolve_tagged
from buildsys.recipe.text.syntax import syntax_diagnostic

MOST_NODES = 200_000
"""A document may stand for this many values, or for as many as it has characters. More can only come
of aliases, and is an attack or a mistake."""
MOST_DEPTH = 64
"""Collections may be nested this deep."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_COLLECTION_TAGS = {
    None: "",
    "!": "",
    "tag:yaml.org,2002:map": "a mapping",
    "tag:yaml.org,2002:seq": "a list",
}

_NO_CHILDREN: dict[Key, Edge] = {}
"""What all scalars have in common; nothing is ever put in."""

_PROPERTY = re.compile(r"([&!]\S*|#[^\n]*)\s*")
_MERGE_PLACE = -1
"""Stands for a merge key while a mapping is composed; no key of a mapping is a number."""


class RefusedError(Exception):
    """The document cannot be read any further."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic
        super().__init__(diagnostic.message)


class Composer:
    """Composes one file's events.

    Attributes:
        source: The file.
        diagnostics: Findings that do not stop the composing.
        used: The environment variables that were put in, with their values.
    """

    def __init__(self, source: Source, environ: Mapping[str, str]) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.used: dict[str, str] = {}
        self._environ = environ
        self._anchors: dict[str, Node | None] = {}
        self._next: Callable[[], Any]
        self._size = 0
        self._most = max(MOST_NODES, len(source.text))

    def compose(self) -> Node:
        """The document's root, a mapping.

        Raises:
            RefusedError: The text is no YAML, or not one mapping, or too large.
        """
        loader = None
        try:
            loader = _LOADER(self.source.text)
            self._next = loader.get_event
            return self._document()
        except yaml.YAMLError as error:
            raise RefusedError(syntax_diagnostic(self.source, error)) from None
        finally:
            if loader is not None:
                loader.dispose()

    def _document(self) -> Node:
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise RefusedError(self._finding("the file is empty", 0, 0, "it must hold a recipe"))
        event = self._next()
        root, _ = self._value(event, 0)
        self._next()  # the document's end
        following = self._next()
        if not isinstance(following, yaml.StreamEndEvent):
            start = following.start_mark.index
            raise RefusedError(
                self._finding(
                    "a second document begins here",
                    start,
                    start + 3,
                    "a file holds one document: delete the `---`",
                )
            )
        if not isinstance(event, yaml.MappingStartEvent):
            raise RefusedError(
                Diagnostic(
                    "the file is not a mapping at its top level",
                    root.position(),
                    "write `key: value` lines",
                )
            )
        return root

    def _value(self, event: Any, depth: int) -> tuple[Node, tuple[Position, ...]]:
        """Composes the value that an event begins; gives it with the alias that brought it in."""
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self._alias(event)
        if depth > MOST_DEPTH:
            raise RefusedError(self._at(event, f"nested more than {MOST_DEPTH} deep"))
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if kind is yaml.ScalarEvent:
            node = self._scalar(event)
        elif kind is yaml.SequenceStartEvent:
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node, ()

    def _alias(self, event: Any) -> tuple[Node, tuple[Position, ...]]:
        name = event.anchor
        if name not in self._anchors:
            raise RefusedError(self._at(event, f"no anchor `&{name}` stands before this alias"))
        node = self._anchors[name]
        if node is None:
            raise RefusedError(self._at(event, f"the alias `*{name}` stands inside its own anchor"))
        self._count(node.size, event)
        return node, (self._mark(event).noted("brought in by this alias"),)

    def _count(self, size: int, event: Any) -> None:
        # What aliases and merge keys repeat is counted each time: nine lines can stand for 10^9
        # values.
        self._size += size
        if self._size > self._most:
            raise RefusedError(
                self._at(
                    event, f"the file stands for more than {self._most} values", "use fewer aliases"
                )
            )

    def _scalar(self, event: Any) -> Node:
        self._count(1, event)
        start, end = _inside_properties(self.source.text, event)
        if event.start_mark.line != event.end_mark.line:
            end = _first_line_end(self.source.text, start, end)
        text, tag = event.value, event.tag
        node = Node(self.source, start, end, None, _NO_CHILDREN)
        if "$" in text:
            filled = interpolate(text, self._environ)
            self.used.update(filled.used)
            if filled.problems:
                node.broken = True
                self._report_interpolation(filled, text, start, event.end_mark.index)
            text = filled.text
        try:
            if tag is not None:
                node.data = resolve_tagged(text, tag)
            else:
                node.data = text if event.style else resolve(text)
        except TagMismatchError as mismatch:
            node.broken = True
            node.data = text
            hint = f"known tags: {', '.join(f'`{tag}`' for tag in KNOWN_TAGS)}"
            self.diagnostics.append(self._at(event, str(mismatch), hint))
        return node

    def _report_interpolation(self, filled: Interpolated, text: str, start: int, end: int) -> None:
        raw = self.source.text[start:end]
        for problem in filled.problems:
            span = locate(raw, text, problem.token)
            first, last = (start, end) if span is None else (start + span[0], start + span[1])
            self.diagnostics.append(self._finding(problem.message, first, last, problem.hint))

    def _sequence(self, event: Any, depth: int) -> Node:
        self._count(1, event)
        self._check_tag(event, "a list")
        data: list[Any] = []
        children: dict[Key, Edge] = {}
        size = 1
        while type(item := self._next()) is not yaml.SequenceEndEvent:
            node, via = self._value(item, depth + 1)
            children[len(data)] = Edge(node, via=via)
            data.append(node.data)
            size += node.size
        start, end = self._collection_span(event, item)
        return Node(self.source, start, end, data, children, size)

    def _mapping(self, event: Any, depth: int) -> Node:
        self._count(1, event)
        self._check_tag(event, "a mapping")
        children: dict[Key, Edge] = {}
        merged: dict[Key, Edge] = {}
        merges: Any = None
        first: Any = None
        while type(key_event := self._next()) is not yaml.MappingEndEvent:
            key = self._key(key_event)
            first = first or key_event
            node, via = self._value(self._next(), depth + 1)
            if key == "<<" and _is_plain(key_event):
                if merges is not None:
                    self._duplicate(
                        key_event,
                        "<<",
                        self._mark(merges),
                        "merge several with a list: `<<: [*a, *b]`",
                    )
                    continue
                merges = key_event
                edge = Edge(node, via=via)
                merged = self._merge(edge, key_event)
                children[_MERGE_PLACE] = edge
                continue
            if key in children:
                self._duplicate(
                    key_event, key, children[key].key_position(), "delete or rename one of them"
                )
                continue
            start, end = key_event.start_mark.index, key_event.end_mark.index
            children[key] = Edge(node, self.source, start, end, via)
        if merges is not None:
            children = _spliced(children, merged)
        if first is not None and not event.flow_style:
            start, end = first.start_mark.index, first.end_mark.index
        else:
            start, end = self._collection_span(event, key_event)
        data = {key: edge.node.data for key, edge in children.items()}
        size = 1 + sum(edge.node.size for edge in children.values())
        return Node(self.source, start, end, data, children, size)

    def _key(self, event: Any) -> str:
        if type(event) is yaml.ScalarEvent:
            self._count(1, event)
            return str(event.value)
        if type(event) is yaml.AliasEvent:
            node, _ = self._alias(event)
            if not node.children and isinstance(node.data, str):
                return node.data
        raise RefusedError(self._at(event, "a key must be text", "write it as one word"))

    def _merge(self, edge: Edge, key_event: Any) -> dict[Key, Edge]:
        """The entries that a merge key brings; earlier mappings win over later ones."""
        place = self._mark(key_event)
        sources = [edge]
        if isinstance(edge.node.data, list):
            sources = list(edge.node.children.values())
        entries: dict[Key, Edge] = {}
        for source in sources:
            if not isinstance(source.node.data, dict):
                self.diagnostics.append(
                    Diagnostic(
                        "a merge key `<<` takes a mapping or a list of mappings",
                        source.node.position(),
                        "merge an anchor: `<<: *name`",
                        source.via,
                    )
                )
                continue
            self._count(len(source.node.children), key_event)
            by = source.via[-1] if source.via else place
            for key, entry in source.node.children.items():
                if key not in entries:
                    entries[key] = entry.brought_by(by.noted("merged in here"))
        return entries

    def _duplicate(self, event: Any, key: str, first: Position, hint: str) -> None:
        self.diagnostics.append(
            Diagnostic(
                f"duplicate key `{key}`",
                self._mark(event),
                hint,
                (first.noted("first written here"),),
            )
        )

    def _check_tag(self, event: Any, kind: str) -> None:
        expected = _COLLECTION_TAGS.get(event.tag)
        if expected is None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.diagnostics.append(self._at(event, f"the tag `{tag}` is not allowed", "delete it"))
        elif expected and expected != kind:
            self.diagnostics.append(self._at(event, f"the tag says {expected}, but this is {kind}"))

    def _collection_span(self, start: Any, end: Any) -> tuple[int, int]:
        """What to underline: all of `{...}` on one line, else its first character."""
        first, last = _inside_properties(self.source.text, start, end)
        whole = start.flow_style and "\n" not in self.source.text[first:last]
        return first, last if whole else first + 1

    def _mark(self, event: Any) -> Position:
        return self.source.position(event.start_mark.index, event.end_mark.index)

    def _at(self, event: Any, message: str, hint: str | None = None) -> Diagnostic:
        return Diagnostic(message, self._mark(event), hint)

    def _finding(self, message: str, start: int, end: int, hint: str) -> Diagnostic:
        return Diagnostic(message, self.source.position(start, end), hint)


def _is_plain(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and not event.style and event.tag is None


def _spliced(own: dict[Key, Edge], merged: dict[Key, Edge]) -> dict[Key, Edge]:
    """Own entries with the merged ones at the merge key's place; own ones win."""
    result: dict[Key, Edge] = {}
    for key, edge in own.items():
        if key == _MERGE_PLACE:
            result.update({name: entry for name, entry in merged.items() if name not in own})
        else:
            result[key] = edge
    return result


def _inside_properties(text: str, event: Any, end_event: Any = None) -> tuple[int, int]:
    """The span of a value without the anchor and tag before it."""
    start = event.start_mark.index
    end = (event if end_event is None else end_event).end_mark.index
    if event.anchor is None and event.tag is None:
        return start, end
    while start < end and (match := _PROPERTY.match(text, start, end)):
        start = match.end()
    return start, end


def _first_line_end(text: str, start: int, end: int) -> int:
    newline = text.find("\n", start, end)
    return end if newline < 0 else newline
