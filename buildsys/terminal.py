"""Text that is safe to show: a terminal must not obey what a recipe, a file name or a log holds.

Imports next to nothing: `modelbuild --help` takes it as well.
"""

from __future__ import annotations

import re

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 (but for tab and line feed), DEL, and C1.
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # Marks that turn the direction of text.
    "\u2028\u2029\ufeff\ufff9-\ufffb"  # Separators and marks that do not show.
    "\U000e0000-\U000e007f"  # Tags: invisible letters.
    "\ud800-\udfff]"  # Bytes of a file name that are no text.
)
_WITHIN_A_LINE = re.compile(f"[\t\n]|{UNSAFE.pattern}")


def escaped(text: str) -> str:
    r"""Replaces each character that could act on a terminal with its escape, such as `\x1b`."""
    return UNSAFE.sub(_escape, text)


def json_text(record: object, indent: int | None = None) -> str:
    """Writes JSON as people read it, with what could act on a terminal as JSON's own escapes."""
    import json

    text = json.dumps(record, ensure_ascii=False, indent=indent)
    # Such characters stand inside of strings only, but for the line feeds of `indent`.
    return UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def is_plain(text: str) -> bool:
    """Whether a name shows as it is: no control character, no mark of direction, one line."""
    return _WITHIN_A_LINE.search(text) is None


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
