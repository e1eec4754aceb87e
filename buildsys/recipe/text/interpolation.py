"""`${VAR}` and `${VAR:-default}` in the values of a recipe.

`$$` stands for one `$`; a `$` before anything else is itself. A default is used when the variable
is unset or empty, as in a shell, and holds no `}`. Keys are not interpolated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TOKEN = re.compile(r"\$\$|\$\{[^}]*\}|\$\{")
_BODY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """An interpolation that cannot be made.

    Attributes:
        token: Which token of the scalar it is, from 0, as `locate` counts them.
        message: What is wrong.
        hint: What would fix it.
    """

    token: int
    message: str
    hint: str


@dataclass(frozen=True)
class Interpolated:
    """A scalar's text after interpolation.

    Attributes:
        text: The text.
        used: The variables that it took, each with the value that was put in.
        problems: What could not be put in; the text then holds the token as it was written.
    """

    text: str
    used: dict[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def interpolate(text: str, environ: Mapping[str, str]) -> Interpolated:
    """Puts variables into a scalar's text."""
    if "$" not in text:
        return Interpolated(text)
    used: dict[str, str] = {}
    problems: list[Problem] = []
    parts: list[str] = []
    last = 0
    for number, match in enumerate(_TOKEN.finditer(text)):
        parts.append(text[last : match.start()])
        parts.append(_replacement(match.group(), number, environ, used, problems))
        last = match.end()
    parts.append(text[last:])
    return Interpolated("".join(parts), used, tuple(problems))


def locate(raw: str, text: str, token: int) -> tuple[int, int] | None:
    """Where a token of a scalar stands in the scalar as it is written in the file.

    Args:
        raw: The scalar as written, with quotes and escapes.
        text: The scalar's text, as given to `interpolate`.
        token: The token, from 0.

    Returns:
        Start and end in `raw`, or `None` when escapes hide where it is.
    """
    written = list(_TOKEN.finditer(raw))
    if len(written) != len(_TOKEN.findall(text)):
        return None
    return written[token].span()


def _replacement(
    written: str,
    number: int,
    environ: Mapping[str, str],
    used: dict[str, str],
    problems: list[Problem],
) -> str:
    if written == "$$":
        return "$"
    body = _BODY.fullmatch(written[2:-1]) if written.endswith("}") else None
    if body is None:
        what = "is not closed" if written == "${" else "is not `${VAR}` or `${VAR:-default}`"
        problems.append(Problem(number, f"`{written}` {what}", "write `$$` for a plain `$`"))
        return written
    name, default = body.group(1), body.group(2)
    value = environ.get(name)
    if default is not None and not value:
        value = default
    if value is None:
        problems.append(
            Problem(
                number,
                f"the environment variable `{name}` is not set",
                f"set it, or give a default: `${{{name}:-value}}`",
            )
        )
        return written
    used[name] = value
    return value
