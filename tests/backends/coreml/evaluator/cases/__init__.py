"""One case an operation and attribute, a module a family; numpy only, so that any Python reads them."""

from __future__ import annotations

from ..case import Case
from . import elements, images, layouts, picking, products, recurrence, reductions, windows

CASES: dict[str, Case] = {}
for _family in (elements, images, layouts, picking, products, recurrence, reductions, windows):
    for _case in _family.CASES:
        _name = _case.name
        while _name in CASES:
            _name += "'"
        CASES[_name] = _case
