"""One axis of a shape."""

from __future__ import annotations

import re

from buildsys.recipe.schema.part import SYMBOL, fault

_SYMBOL = re.compile(SYMBOL)


def checked_size(value: object) -> int | str:
    """A size: a whole number of at least 1, or a symbol.

    Raises:
        PydanticCustomError: It is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value >= 1:
            return value
        hint = "a size that may vary is a symbol: `N`"
        raise fault(f"an axis has at least 1 element, not {value}", hint)
    if isinstance(value, str) and _SYMBOL.search(value):
        return value
    shown = f"`{value}`" if isinstance(value, str) else "this"
    raise fault(f"{shown} is not a size", "write a whole number, or a symbol such as `N`")
