"""Where faults are found, beside where they were put."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.faults.substitution import Substitute, relocated
from buildsys.engine import building
from buildsys.engine.listener import ignore
from buildsys.engine.run import Settings
from buildsys.engine.session import Session
from buildsys.planner.planning import make_location

COLUMNS = ("onnx", "tflite", "openvino", "coreml")
"""Where faults are located: in float32, where an output that is wrong is beyond all rounding."""
EVERYWHERE = ("stale weights, another seed", "stale weights, an epoch ago")
"""Kinds that have no place."""
SWAPPED, ORDER = "outputs swapped", "output-order"
"""A kind of fault, and what locating says of it: no operation is wrong."""
AT, BESIDE, ELSEWHERE, NOWHERE = "at", "beside", "elsewhere", "nowhere"

Record = dict[str, Any]


def located(
    session: Session, label: str, faults: Sequence[Record], substitutes: Sequence[Substitute]
) -> None:
    """Locates faults of one deployable; sets `locate` of each, a word, or `None` where it finds none.

    Args:
        session: The project's.
        label: The deployable's.
        faults: With `kind`, `node` and `near`.
        substitutes: Their artifacts, in the same order.
    """
    graph, _ = make_location(session.recipe, session.catalog, label)
    every = relocated(graph, substitutes)
    settings = Settings(max_failures=None)
    _, files = building.give(session.engine, every, session.project(), settings, ignore)
    for fault, wanted in zip(faults, every.wanted, strict=True):
        read = files.get(wanted)
        fault["locate"] = place(fault, json.loads(read)) if read is not None else NOWHERE


def place(fault: Mapping[str, Any], location: Mapping[str, Any]) -> str | None:
    """Where a location is, seen from the fault; `None` where no output is wrong enough."""
    if not location["found"]:
        return None
    if location["kind"] == ORDER:
        return AT if fault["kind"] == SWAPPED else NOWHERE
    operation = location["operation"]
    if operation is None:
        return NOWHERE
    names = {operation["name"], *operation["outputs"]}
    return _seen(fault, names)


def named(fault: Mapping[str, Any], weights: Mapping[str, Any] | None) -> str | None:
    """Where the tensors that the bound `weights` names are; `None` where it names none."""
    wrong = [*(weights or {}).get("altered", ()), *(weights or {}).get("missing", ())]
    if not wrong:
        return None
    if _names([fault["tensor"]]) & {tensor["name"] for tensor in wrong}:
        return AT
    # An operation comes with its type: `Conv /body/0/Conv`.
    readers = {reader for tensor in wrong for reader in tensor["readers"]}
    return _seen(fault, readers | {reader.partition(" ")[2] for reader in readers})


def _seen(fault: Mapping[str, Any], names: set[str]) -> str:
    if names & _names([fault["node"], *fault["own"]]):
        return AT
    return BESIDE if names & _names(fault["near"]) else ELSEWHERE


def _names(names: Iterable[str | None]) -> set[str]:
    """Names as checks and probes have them.

    Values of TFLite have a number before their name here, since names may repeat; a probe tells it behind
    the name, and only of those that do, and the comparison of weights has none.
    """
    found = {name for name in names if name}
    for name in list(found):
        number, mark, rest = name.partition(":")
        if mark and number.isdigit():
            found |= {rest, f"{rest}#{number}"}
    return found
