"""What of an io contract has changed, and whether an app that was written for the earlier one breaks.

A change is harmless only where an app that knows nothing of it goes on as before: something is said that
was not said, or an output is there that nobody asks for. All else is breaking, also what this module
does not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from buildsys.report.comparison import Change

Port = Mapping[str, Any]

SYMBOL = re.compile(r"[A-Za-z_]\w*")
SCALING = {"scale", "mean", "std"}
"""Of `preprocess`: what an artifact does itself where it takes a picture."""


def changes(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[Change]:
    """What differs between two io contracts; nothing where one of them is not known."""
    if before is None or now is None:
        return []
    symbols = _symbols(before), _symbols(now)
    found: list[Change] = []
    for side in ("inputs", "outputs"):
        found += _side(side, before[side], now[side], symbols)
    return found


def _side(
    side: str,
    before: Sequence[Port],
    now: Sequence[Port],
    symbols: tuple[dict[str, str], dict[str, str]],
) -> Iterator[Change]:
    old, new = {p["name"]: p for p in before}, {p["name"]: p for p in now}
    gone = [name for name in old if name not in new]
    come = [name for name in new if name not in old]
    for name in list(gone):
        # In the same place, and but for the name the same: it was renamed.
        place = list(old).index(name)
        other = list(new)[place] if place < len(new) else None
        if other in come and not any(
            c.breaking for c in _fields(side, old[name], new[other], symbols, named=False)
        ):
            gone.remove(name)
            come.remove(other)
            yield Change(side, name, "renamed", name, other, breaking=True)
    for name in gone:
        yield Change(side, name, "removed", _shown(old[name]), None, breaking=True)
    for name in come:
        # An app gives all inputs, and takes the outputs that it knows.
        yield Change(side, name, "added", None, _shown(new[name]), breaking=side == "inputs")
    kept = [name for name in old if name in new]
    order = [name for name in new if name in old]
    if kept != order:
        yield Change(side, ", ".join(order), "order", kept, order, breaking=True)
    for name in kept:
        yield from _fields(side, old[name], new[name], symbols)


def _fields(
    side: str,
    before: Port,
    now: Port,
    symbols: tuple[dict[str, str], dict[str, str]],
    named: bool = True,
) -> Iterator[Change]:
    for field in dict.fromkeys((*before, *now)):
        old, new = _effective(before, field), _effective(now, field)
        if field == "name" or (field == "artifact_name" and not named) or old == new:
            continue
        breaking = True
        if field == "shape":
            # A symbol is for readers: what matters is which sizes vary, and together with which.
            breaking = _plain(old, symbols[0]) != _plain(new, symbols[1])
        elif field == "preprocess":
            breaking = old is not None and not _app_does_as_before(old, new, now)
        elif field not in ("dtype", "kind", "artifact_name", "permutation"):
            breaking = old is not None  # What is merely said now was so before.
        yield Change(side, before["name"], field, old, new, breaking)


def _effective(port: Port, field: str) -> Any:
    """A field as it works: what a contract leaves out has a meaning as well."""
    value = port.get(field)
    if field == "artifact_name":
        return value or port["name"]
    if field == "kind":
        return value or "array"
    if field == "permutation":
        return None if value is None or value == sorted(value) else value
    return value


def _app_does_as_before(before: Mapping[str, Any], now: Any, port: Port) -> bool:
    """Whether a change of `preprocess` is in what the artifact itself does to a picture."""
    if now is None or port.get("kind") != "image":
        return False
    changed = {key for key in (*before, *now) if before.get(key) != now.get(key)}
    return changed <= SCALING


def _symbols(contract: Mapping[str, Any]) -> dict[str, str]:
    """Each symbol by its place among those of a contract."""
    ports = [*contract["inputs"], *contract["outputs"]]
    sizes = [size for port in ports for size in port["shape"] if isinstance(size, str)]
    names = dict.fromkeys(name for size in sizes for name in SYMBOL.findall(size))
    return {name: f"s{number}" for number, name in enumerate(names)}


def _plain(shape: Sequence[int | str], symbols: Mapping[str, str]) -> list[int | str]:
    return [
        SYMBOL.sub(lambda match: symbols[match[0]], size) if isinstance(size, str) else size
        for size in shape
    ]


def _shown(port: Port) -> str:
    return f"{port['dtype']} [{', '.join(map(str, port['shape']))}]"
