"""The error of an artifact's graph alone: the original is given the artifact's own rounded weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from buildsys.backends.kit.run.edge_cases import WORDS
from buildsys.figures.measurement import Error, Measurement
from buildsys.verify.judgment.floors import WHOLE, Floors
from buildsys.verify.judgment.gate import GRAPH, Gate, bounded
from buildsys.verify.judgment.limits import EDGE_ERROR

OTHER_GRAPH = "the original gives something else with the artifact's own weights: the graph differs"
SHOWN_NUMBERS = 3


def without_graph(measurement: Measurement | None) -> str | None:
    """Why the graph of an artifact cannot be judged apart from its rounded weights, or `None`."""
    graph = measurement.graph if measurement is not None else None
    if graph is None:
        return None
    if graph.numbers:
        numbers = ", ".join(f"`{number}`" for number in graph.numbers[:SHOWN_NUMBERS])
        return f"single numbers are rounded as well ({numbers})"
    return graph.reason


def gates(measurement: Measurement | None, limit: float, cap: float) -> list[Gate]:
    """The error of the graph alone, output by output; none where it is not known."""
    gates: list[Gate] = []
    if measurement is None or measurement.graph is None:
        return gates
    for name, ratio, floor in _ratios(measurement, measurement.graph.outputs or {}):
        most = min(limit, cap / floor)
        gate = bounded(GRAPH, name, most, ratio, "the shapes differ, or it is not finite")
        gates.append(
            gate if gate.passed or gate.value is None else replace(gate, reason=OTHER_GRAPH)
        )
    return gates


def at_edges(measurement: Measurement, limit: float, cap: float) -> Iterator[Gate]:
    """The same on zeros and on extreme values, held loosely there."""
    steady = {edge.case: edge.steady for edge in measurement.edges}
    graph = measurement.graph
    for edge in (graph.edges if graph is not None else None) or ():
        for name, ratio, floor in _ratios(measurement, edge.outputs):
            if steady.get(edge.case, {}).get(name):
                most = max(min(limit, cap / floor), EDGE_ERROR / floor)
                gate = bounded(GRAPH, name, most, ratio, "not finite")
                yield replace(gate, case=WORDS[edge.case])


def _ratios(
    measurement: Measurement, errors: Mapping[str, Error]
) -> Iterator[tuple[str, float | None, float]]:
    """Of each floating output: its name, the error in multiples of the floor, the floor.

    None where single numbers in float16 have a part in the error: a sixth in each activation costs 2e-3.
    """
    if without_graph(measurement) is not None:
        return
    floors = Floors.of(measurement, WHOLE)
    for name, each in errors.items():
        floor, error = floors.values.get(name), each.signal_error
        if floor is not None and measurement.outputs[name].floating:
            yield name, None if error is None else error / floor, floor
