"""Layers by globs over their names, for `keep_float` and `layers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from .request import StepError

FIELD = "quantization.keep_float"
LAYERS = "quantization.layers"
SHOWN = 12


def fits(pattern: str, names: Sequence[str], dot: str = ".") -> bool:
    """Whether a glob fits one of the names that a layer answers to, as a whole."""
    wanted = pattern.replace(".", dot)
    return any(fnmatchcase(name, wanted) for name in names)


def fitting(
    patterns: Sequence[str],
    answers: Mapping[str, Sequence[str]],
    none: str,
    hint: str | None = None,
    dot: str = ".",
    field: str = FIELD,
) -> list[str]:
    """The layers that globs fit, in the order of `answers`.

    Args:
        patterns: The recipe's globs; a whole name has to fit.
        answers: Layer to the names that it answers to, that which errors show first.
        none: What is said of a glob that fits none: `fits no layer of the model`.
        hint: The error's hint.
        dot: What stands in names where a module's path has a dot.
        field: What of the recipe has the globs.

    Raises:
        StepError: A glob fits none; the error names the nearest.
    """
    found: set[str] = set()
    for pattern in patterns:
        fitted = {layer for layer, names in answers.items() if fits(pattern, names, dot)}
        if not fitted:
            first = list(dict.fromkeys(names[0] for names in answers.values()))
            shown = _shown(pattern.replace(".", dot), first, dot)
            raise StepError(f"`{pattern}` {none}; {shown}", hint, field)
        found |= fitted
    return [layer for layer in answers if layer in found]


def _shown(wanted: str, names: Sequence[str], dot: str) -> str:
    """The nearest names, or the first ones."""
    # A pattern mostly names a module, which is how a layer's path begins.
    begun = {name[: end or None]: name for name in reversed(names) for end in _ends(name, dot)}
    near = get_close_matches(wanted.strip("*?" + dot), begun, n=3, cutoff=0.5)
    listed = list(dict.fromkeys(begun[start] for start in near)) or names[:SHOWN]
    text = ", ".join(f"`{name}`" for name in listed) or "none"
    if near:
        return f"near it: {text}"
    return f"there are: {text}{', ...' if len(names) > SHOWN else ''}"


def _ends(name: str, dot: str) -> list[int]:
    """Where the modules of a path end; 0 for its own end."""
    return [0, *(index for index, sign in enumerate(name) if sign == dot)]
