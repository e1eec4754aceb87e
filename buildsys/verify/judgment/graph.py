"""The error of an artifact's graph alone: the original is given the artifact's own rounded weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from buildsys.backends.kit.run.edge_cases import WORDS
from buildsys.verify.judgment.floors import WHOLE, Floors
from buildsys.verify.judgment.gate import GRAPH, Gate, bounded
from buildsys.verify.judgment.limits import EDGE_ERROR

OTHER_GRAPH = "the original gives something else with the artifact's own weights: the graph differs"
SHOWN_NUMBERS = 3


def without_graph(measurement: Mapping[str, Any] | None) -> str | None:
    """Why the graph of an artifact cannot be judged apart from its rounded weights, or `None`."""
    graph: Mapping[str, Any] = (measurement or {}).get("graph") or {}
    if graph.get("numbers"):
        numbers = ", ".join(f"`{number}`" for number in graph["numbers"][:SHOWN_NUMBERS])
        return f"single numbers are rounded as well ({numbers})"
    return graph.get("reason")


def gates(measurement: Mapping[str, Any] | None, limit: float, cap: float) -> list[Gate]:
    """The error of the graph alone, output by output; none where it is not known."""
    gates = []
    for name, ratio, floor in _ratios(measurement, (measurement or {}).get("graph") or {}):
        most = min(limit, cap / floor)
        gate = bounded(GRAPH, name, most, ratio, "the shapes differ, or it is not finite")
        gates.append(
            gate if gate.passed or gate.value is None else replace(gate, reason=OTHER_GRAPH)
        )
    return gates


def at_edges(measurement: Mapping[str, Any], limit: float, cap: float) -> Iterator[Gate]:
    """The same on zeros and on extreme values, held loosely there."""
    steady = {edge["case"]: edge["steady"] for edge in measurement.get("edges", ())}
    for edge in (measurement.get("graph") or {}).get("edges", ()):
        for name, ratio, floor in _ratios(measurement, edge):
            if steady.get(edge["case"], {}).get(name):
                most = max(min(limit, cap / floor), EDGE_ERROR / floor)
                gate = bounded(GRAPH, name, most, ratio, "not finite")
                yield replace(gate, case=WORDS[edge["case"]])


def _ratios(
    measurement: Mapping[str, Any] | None, figures: Mapping[str, Any]
) -> Iterator[tuple[str, float | None, float]]:
    """Of each floating output: its name, the error in multiples of the floor, the floor.

    None where single numbers in float16 have a part in the error: a sixth in each activation costs 2e-3.
    """
    if without_graph(measurement) is not None:
        return
    floors = Floors.of(measurement, WHOLE)
    for name, each in figures.get("outputs", {}).items():
        floor = floors.values.get(name)
        kind = (measurement or {})["outputs"][name]["reference_dtype"]
        if floor is not None and kind.startswith("float"):
            error = each["signal_error"]
            yield name, None if error is None else error / floor, floor
