"""Edits of a recipe's text that leave all the rest of it as it is: comments, quotes, order, line ends.

Only lists are added to, as cures need. What the text is to say afterwards is known beforehand, so every
edit is read again and compared; where that does not come out (anchors, merge keys), nothing is edited
and the message gives the line to write by hand.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from buildsys.recipe.recipe import Recipe
from buildsys.recipe.text.document import Key, follow
from buildsys.recipe.text.parsing import Composer, RefusedError
from buildsys.recipe.text.position import Position, Source, shown_path
from buildsys.recipe.text.scalars import resolve
from buildsys.recipe.text.syntax import decode

_MARK = b"\xef\xbb\xbf"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.*/-]*", re.ASCII)
"""What needs no quotes anywhere; a `*` at the beginning would be an alias."""


class CannotEditError(Exception):
    """A recipe is left as it is.

    Attributes:
        message: Why.
        hint: What to write by hand.
        position: Where.
    """

    def __init__(self, message: str, hint: str, position: Position | None) -> None:
        super().__init__(message)
        self.message, self.hint, self.position = message, hint, position


@dataclass(frozen=True)
class Edit:
    """New text for one file of a recipe.

    Attributes:
        file: The recipe itself, or a fragment that it includes.
        before: Its text as it was read, without a byte order mark.
        after: Its text with the edit.
    """

    file: Path
    before: str
    after: str

    def diff(self, folder: Path | None = None) -> str:
        """The edit as a unified diff, the file's path relative to `folder` where it lies below."""
        name = shown_path(self.file, folder)
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            name,
            name,
        )
        ended = (
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
            for line in lines
        )
        return "".join(ended)

    def write(self) -> None:
        """Writes the file: as a whole or not at all, with its mode, and through a link.

        Raises:
            CannotEditError: It is no longer what was read.
            OSError: It cannot be written.
        """
        file = self.file.resolve()
        content = file.read_bytes()
        if decode(content) != self.before:
            raise CannotEditError(
                f"`{self.file.name}` has been edited meanwhile", "ask again", None
            )
        mark = _MARK if content.startswith(_MARK) else b""
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(mark + self.after.encode())
                stream.flush()
                os.fsync(stream.fileno())
            draft.chmod(stat.S_IMODE(file.stat().st_mode))
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)


def append(recipe: Recipe, keys: Sequence[Key], values: Sequence[str]) -> Edit:
    """Adds words to a list of a recipe, which is made where it is missing.

    Args:
        recipe: The recipe. Of several files, the one that holds the list's mapping is edited.
        keys: Where the list is, or is to be: `("quantization", "fp16", "keep_float")`.
        values: What to add; words that are there already are passed over.

    Raises:
        CannotEditError: The text cannot be edited safely, or holds all of it already.
    """
    *above, name = keys
    found = follow(recipe.root, above)
    source = found.node.source
    edge = found.node.children.get(name)
    present = list(edge.node.data or ()) if edge is not None else []
    wanted = [value for value in dict.fromkeys(values) if value not in present]
    by_hand = f"{name}: [{', '.join(_word(value) for value in dict.fromkeys([*present, *values]))}]"
    place = edge.key_position() if edge is not None else found.key_position()

    def refuse(why: str) -> CannotEditError:
        path = ".".join(map(str, above))
        return CannotEditError(why, f"write `{by_hand}` under `{path}` yourself", place)

    if not wanted:
        raise refuse(f"`{'.'.join(map(str, keys))}` holds that already")
    if found.depth < len(above):
        raise refuse(f"the recipe has no `{'.'.join(map(str, above))}`")
    text = source.text
    try:
        after = _edited(text, keys, wanted)
    except _UnsafeError as reason:
        raise refuse(str(reason)) from None
    expected = _meaning(source)
    holder = expected
    for key in above:
        holder = holder[key]
    holder[name] = [*holder.get(name, ()), *wanted]
    try:
        said = _meaning(Source(source.file, after))
    except RefusedError:
        said = None
    if said != expected:
        raise refuse("the list is shared by an anchor or a merge key, or written in an unusual way")
    return Edit(source.file, text, after)


def _meaning(source: Source) -> Any:
    """What a file says; variables that have no default stay as they are written."""
    return Composer(source, {}).compose().data


class _UnsafeError(Exception):
    """A text cannot be edited safely."""


def _edited(text: str, keys: Sequence[Key], values: Sequence[str]) -> str:
    root = yaml.compose(text, yaml.SafeLoader)
    *above, name = keys
    node: Any = root
    for key in above:
        entry = _entry(node, key)
        if entry is None:
            raise _UnsafeError(f"`{key}` is brought in from elsewhere")
        node = _own(text, *entry)
    entry = _entry(node, name)
    if entry is None:
        return _with_key(text, node, f"{name}: [{', '.join(_word(v) for v in values)}]")
    listed = _own(text, *entry)
    if not isinstance(listed, yaml.SequenceNode):
        raise _UnsafeError(f"`{name}` is not a list")
    return _with_items(text, listed, values)


def _entry(mapping: Any, key: Key) -> tuple[Any, Any] | None:
    if not isinstance(mapping, yaml.MappingNode):
        return None
    return next(((k, v) for k, v in mapping.value if k.value == key), None)


def _own(text: str, key: Any, value: Any) -> Any:
    """The value of a key, where it is written right there and shared with no other place."""
    start = value.start_mark.index
    if start < key.end_mark.index:
        raise _UnsafeError(f"`{key.value}` is an alias: its anchor may serve others")
    if text[start : start + 1] == "&":
        raise _UnsafeError(f"`{key.value}` has an anchor: others may take it")
    return value


def _with_key(text: str, mapping: Any, line: str) -> str:
    """The text with one more key, behind the last one that has a plain value of its own."""
    for key, value in reversed(mapping.value):
        simple = isinstance(value, yaml.ScalarNode) and value.style not in ("|", ">")
        if not simple or value.start_mark.index < key.end_mark.index:
            continue
        if mapping.flow_style:
            return _inserted(text, value.end_mark.index, f", {line}")
        return _below(text, value.end_mark.index, key.start_mark.column, line)
    raise _UnsafeError("all its keys are brought in from elsewhere")


def _with_items(text: str, listed: Any, values: Sequence[str]) -> str:
    items = listed.value
    if not items:
        joined = ", ".join(_word(value) for value in values)
        return _inserted(text, listed.end_mark.index - 1, joined)
    last = items[-1]
    if last.start_mark.index < listed.start_mark.index or last.style in ("|", ">"):
        raise _UnsafeError("the list ends in an alias or a block of text")
    words = [_word(value, items[0].style) for value in values]
    if listed.flow_style:
        return _inserted(text, last.end_mark.index, "".join(f", {word}" for word in words))
    for word in reversed(words):
        text = _below(text, last.end_mark.index, listed.start_mark.column, f"- {word}")
    return text


def _inserted(text: str, offset: int, piece: str) -> str:
    return text[:offset] + piece + text[offset:]


def _below(text: str, offset: int, column: int, line: str) -> str:
    """The text with one more line under the one of an offset."""
    end = text.find("\n", offset)
    newline = "\r\n" if "\r\n" in text else "\n"
    if end < 0:
        return f"{text}{newline}{' ' * column}{line}"
    return _inserted(text, end + 1, f"{' ' * column}{line}{newline}")


def _word(value: str, style: str | None = None) -> str:
    """A word as YAML has it, in the quotes of its neighbour where it has some."""
    value = value.replace("$", "$$")
    if style == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    if style != '"' and _PLAIN.fullmatch(value) and isinstance(resolve(value), str):
        return value
    return json.dumps(value, ensure_ascii=False)
