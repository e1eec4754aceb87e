"""Makes hostile texts and bytes of good ones; the same for the same seed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import yaml

WORDS = (
    "",
    " ",
    "~",
    "null",
    "true",
    "-1",
    "0",
    "9" * 400,
    "1e999",
    ".nan",
    "-.inf",
    "0x7fffffffffffffff",
    "2026-11-23",
    "12:30:45",
    "..",
    "/",
    "/dev/zero",
    "../../../../etc/passwd",
    "x" * 300,
    "/".join("x" * 100 for _ in range(60)),
    '"a\\0b"',
    '"\\e[2J\\u202e"',
    '"\\ud800"',
    "\u0130\u0131\ufb03",
    "__import__('os')",
    "${HOME}",
    "${",
    "$$",
    "${NOT_SET_ANYWHERE}",
    "!foo bar",
    "!!python/object:os.system x",
    "!!binary aGk=",
    "!!timestamp 2026-11-23",
    "!!int x",
    "!<> x",
    "!",
    "! x",
    "&a *a",
    "*nowhere",
    "[]",
    "{}",
    "[[]]",
    "{a: b}",
    "[1, 2, 3]",
    "{[1]: 2}",
    "{? {a: b} : c}",
    "- - -",
    "| \n  x",
    ">-",
    "<<",
    "[" * 70 + "]" * 70,
    "module:callable",
    "float",
    "mixed",
    "static",
    "N",
    "a*b",
    "[*]",
    "type:*",
    "(",
    "layer.[",
)
CHARACTERS = "{}[]:,-#&*!|>'\"%@`\t\n \x00\x1b\x85\u2028\u202e\ud800é"
TOKEN = re.compile(r"[\w.${}/:-]+")


def text(good: str, chance: random.Random) -> str:
    """A text with some of its words, lines and characters changed."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        good = chance.choice(TEXTS)(good, chance)
    return good


def _word(good: str, chance: random.Random) -> str:
    words = list(TOKEN.finditer(good))
    if not words:
        return chance.choice(WORDS)
    found = chance.choice(words)
    other = chance.choice((chance.choice(WORDS), chance.choice(words)[0]))
    return good[: found.start()] + other + good[found.end() :]


def _tag(good: str, chance: random.Random) -> str:
    places = [found.end() for found in re.finditer(r"[:,\[-] +", good)] or [0]
    place = chance.choice(places)
    tag = chance.choice(
        ("!foo ", "!!str ", "!!int ", "!!map ", "!!seq ", "!!set ", "&a ", "*a ", "? ")
    )
    return good[:place] + tag + good[place:]


def _line(good: str, chance: random.Random) -> str:
    lines = good.split("\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    how = chance.randrange(5)
    if how == 0:
        del lines[one]
    elif how == 1:
        lines.insert(one, lines[other])
    elif how == 2:
        lines[one], lines[other] = lines[other], lines[one]
    elif how == 3:
        lines[one] = " " * chance.randrange(6) + lines[one].lstrip()
    else:
        lines = lines[: one + 1]
    return "\n".join(lines)


def _characters(good: str, chance: random.Random) -> str:
    place = chance.randrange(len(good) + 1)
    extra = "".join(
        chance.choice("{}[]:,-#&*!|>'\"%@`\t\n \x00\x1b\x85\u2028\u202e\ud800é")
        for _ in range(chance.randrange(4))
    )
    return good[:place] + extra + good[place + chance.randrange(4) :]


def as_json(good: str, chance: random.Random) -> str:
    """A JSON text with up to three of its branches changed."""
    root = json.loads(good)
    for _ in range(chance.choice((1, 1, 2, 3))):
        _harm(root, chance)
    return json.dumps(root, indent=1)


def _tree(good: str, chance: random.Random) -> str:
    """The document as a tree with one branch changed, written out again."""
    try:
        root = yaml.safe_load(good)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, IndexError):
        return good
    _harm(root, chance)
    try:
        return yaml.safe_dump(root, sort_keys=False, allow_unicode=True)
    except (yaml.YAMLError, ValueError, RecursionError):
        return good


def _harm(root: Any, chance: random.Random) -> None:
    """Changes one branch of a tree."""
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        rows = (
            node.items()
            if isinstance(node, dict)
            else enumerate(node)
            if isinstance(node, list)
            else ()
        )
        for key, value in list(rows):
            places.append((node, key))
            visit(value)

    visit(root)
    if not places:
        return
    node, key = chance.choice(places)
    other, name = chance.choice(places)
    how = chance.randrange(5)
    values: tuple[Any, ...] = (
        None,
        True,
        -1,
        0,
        10**30,
        1.5,
        "",
        "x" * 300,
        [],
        {},
        [None],
        {"a": None},
        [[1]],
        float("nan"),
    )
    if how == 0:
        node[key] = chance.choice(values)
    elif how == 1 and not _holds(other[name], node):
        node[key] = other[name]
    elif how == 2:
        del node[key]
    elif how == 3 and isinstance(node, dict):
        node[chance.choice(("new", "", "with space", 7, None, key))] = node.pop(key)
    else:
        node[key] = [node[key]]


def _holds(node: Any, wanted: Any) -> bool:
    if node is wanted:
        return True
    rows = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return any(_holds(each, wanted) for each in rows)


TEXTS: tuple[Callable[[str, random.Random], str], ...] = (
    _word,
    _word,
    _tag,
    _line,
    _characters,
    _tree,
    _tree,
)


def encoded(good: str, chance: random.Random) -> bytes:
    """Bytes of a text, now and then in an encoding that nobody asked for."""
    data = good.encode("utf-8", "surrogatepass")
    if chance.random() < 0.05:
        data = good.encode(chance.choice(("utf-16", "utf-32", "latin-1")), "replace")
    return data if chance.random() < 0.9 else raw(data, chance)


def raw(good: bytes, chance: random.Random) -> bytes:
    """Bytes with some of them changed, left out, repeated or cut off."""
    data = bytearray(good)
    for _ in range(chance.choice((1, 1, 2, 5, 30))):
        place = chance.randrange(len(data) + 1)
        length = chance.choice((1, 1, 4, 100))
        how = chance.randrange(5)
        if how == 0 and place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        elif how == 1:
            data[place : place + length] = chance.randbytes(length)
        elif how == 2:
            del data[place : place + length]
        elif how == 3:
            data[place:place] = data[place : place + length]
        elif chance.random() < 0.2:
            del data[place:]
    return bytes(data)
