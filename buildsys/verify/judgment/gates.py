"""The recipe's tolerances applied to a measurement: pass or fail, bound by bound.

Pure, cheap, and never cached: an edited tolerance judges again what was measured before. A gate passes
only where a finite number is on the right side of its limit; what was not measured, or is not a
number, fails and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from buildsys.backends.kit.run.edge_cases import WORDS
from buildsys.backends.kit.tasks.direction import SHARES, better
from buildsys.bounds import OUTPUT_BOUNDS, OUTPUT_FLOORS
from buildsys.figures.benchmark import AgainstFloat
from buildsys.figures.measurement import Measurement, OutputFigures, SampleFigures
from buildsys.figures.weights import Weights
from buildsys.verify.judgment import fast_kernels, graph
from buildsys.verify.judgment.floors import COSTS, HALF_CONSTANTS, WHOLE, Floors
from buildsys.verify.judgment.gate import Gate, bounded
from buildsys.verify.judgment.limits import EDGE_ABOVE_FLOOR, EDGE_ERROR, Limits
from buildsys.verify.wording import drop, share, untraced_weight, wrong_weight

UNROUNDED = "a run that rounds nothing but the weights"
DECLARED_EDGES = ("zeros", "low", "high")
"""What inputs may hold as the recipe says: at these every artifact must be finite.

Ranges of integers and of float16 are made for what inputs really hold. The samples' own extremes, all over an
input at once, are nothing that anyone promised; and errors there are no business of a calibration.
"""
UNFIT = ("finite", "shape")
"""What leaves the other bounds on an output without a value where it does not hold."""

DROP_DIGITS = 12
"""Of a metric's drop: 0.85 less 0.8 is a drop of 0.05, and not of the little more that floats make of it."""

SHOWN_WEIGHTS = 3
"""Altered tensors that a reason names."""


def judge(
    measurement: Measurement | None,
    bounds: Mapping[str, float] | Limits,
    *,
    bytes: int,
    baseline_bytes: int | None,
    latency_ratio: AgainstFloat | None,
) -> tuple[Gate, ...]:
    """Judges an artifact.

    Args:
        measurement: The figures, or `None` where nothing ran the artifact.
        bounds: Limit by name, or all that there is to say of limits.
        bytes: The artifact's size.
        baseline_bytes: The size of the unquantized artifact of the same format, where there is one.
        latency_ratio: Median latency relative to that artifact's, where both were benchmarked.

    Returns:
        Finite values, shape and type of each output, the weights where the format shows them, then
        the bounds in the recipe's order.

    Raises:
        ValueError: A bound has a name that is not known.
    """
    limits = bounds if isinstance(bounds, Limits) else Limits(bounds)
    outputs: Mapping[str, OutputFigures] = measurement.outputs if measurement else {}
    floors = Floors.of(measurement, limits.precision)
    gates = [gate for name, figures in outputs.items() for gate in _intact(name, figures)]
    if measurement and measurement.weights is not None:
        gates.append(_weights(measurement.weights, traced="weights" in limits.general))
    elif "weights" in limits.general:
        reason = "nothing reads the weights of this artifact"
        gates.append(Gate("weights", None, 0.0, None, passed=False, reason=reason))
    of_artifact: Mapping[str, Callable[[float], list[Gate]]] = {
        "metric_drop": lambda _: _metric_gate(limits, measurement),
        "size_ratio": lambda limit: [_size_gate(limit, bytes, baseline_bytes)],
        "latency_ratio": lambda limit: [_latency_gate(limit, measurement, latency_ratio)],
        "weights": lambda _: [],  # Judged above: a part of it holds without being asked for.
    }
    for bound in limits.bounds():
        if bound in OUTPUT_BOUNDS:
            found = _output_gates(bound, limits, outputs, floors)
            gates += [fast_kernels.excused(gate, measurement, limits, floors) for gate in found]
        elif bound in of_artifact:
            gates += of_artifact[bound](limits.general[bound])
        else:
            raise ValueError(f"there is no bound named {bound!r}")
    if limits.graph is not None:
        gates += graph.gates(measurement, limits.graph, limits.graph_cap)
    return tuple(_worst_over_sizes(gates, measurement, limits, floors))


def _worst_over_sizes(
    gates: list[Gate], measurement: Measurement | None, limits: Limits, floors: Floors
) -> Iterator[Gate]:
    """Each gate as it is at the worst of the sizes that were run."""
    elsewhere: dict[tuple[str, str | None], list[Gate]] = {}
    for extreme in measurement.extremes if measurement else ():
        found = [
            gate for name, figures in extreme.outputs.items() for gate in _intact(name, figures)
        ]
        for bound in limits.bounds():
            if extreme.outputs and bound in OUTPUT_BOUNDS:
                found += _output_gates(bound, limits, extreme.outputs, floors)
        for gate in found:
            there = replace(fast_kernels.excused(gate, measurement, limits, floors), at=extreme.at)
            elsewhere.setdefault((gate.bound, gate.output), []).append(there)
    edges: dict[tuple[str, str | None], list[Gate]] = {}
    for gate in _at_edges(measurement, limits, floors):
        edges.setdefault((gate.bound, gate.output), []).append(gate)
    judged = {(gate.bound, gate.output) for gate in gates}
    for gate in (*_unrounded(measurement, limits), *_parts(measurement, limits)):
        if (gate.bound, gate.output) in judged:
            edges.setdefault((gate.bound, gate.output), []).append(gate)
        else:
            yield gate
    for gate in gates:
        # The first of equals: sizes are named only where they matter.
        worst = min([gate, *elsewhere.get((gate.bound, gate.output), ())], key=_badness)
        # An edge has a limit of its own: it is reported where it alone is beyond it.
        beyond = [g for g in edges.get((gate.bound, gate.output), ()) if not g.passed]
        yield min(beyond, key=_badness) if worst.passed and beyond else worst


def _at_edges(measurement: Measurement | None, limits: Limits, floors: Floors) -> Iterator[Gate]:
    """What artifacts are held to on zeros and on extreme values."""
    for edge in measurement.edges if measurement else ():
        whole = limits.precision == WHOLE
        if not whole and edge.case not in DECLARED_EDGES:
            continue
        for name, figures in edge.outputs.items():
            found = list(_intact(name, figures))
            limit = limits.of(name, "signal_error")
            if whole and limit is not None and edge.steady.get(name):
                floor = min(EDGE_ABOVE_FLOOR * floors.values.get(name, 0.0), limits.cap)
                reason = _missing("signal_error", figures)
                most = max(limit, EDGE_ERROR, floor)
                found.append(bounded("signal_error", name, most, figures.signal_error, reason))
            for gate in found:
                yield replace(
                    fast_kernels.excused(gate, measurement, limits, floors), case=WORDS[edge.case]
                )
    if measurement and limits.graph is not None:
        yield from graph.at_edges(measurement, limits.graph, limits.graph_cap)


def _unrounded(measurement: Measurement | None, limits: Limits) -> Iterator[Gate]:
    """What an artifact in float16 is held to where a run rounds nothing but its weights.

    Core ML rounds on the way as well, which costs many a model so much that stale weights hide in it.
    """
    if measurement is None or measurement.graph is None or limits.unrounded is None:
        return
    floors = Floors.of(measurement, HALF_CONSTANTS)
    for name, each in (measurement.graph.unrounded or {}).items():
        floor, error = floors.values.get(name), each.signal_error
        if floor is not None and error is not None and measurement.outputs[name].floating:
            gate = bounded("floor_ratio", name, limits.unrounded, error / floor, None)
            yield replace(gate, case=UNROUNDED)


def _parts(measurement: Measurement | None, limits: Limits) -> Iterator[Gate]:
    """The small part of each output that is furthest beyond its own limit, or nearest to it."""
    if measurement is None or limits.parts is None:
        return
    told = measurement.floors(limits.precision)
    for name, figures in measurement.outputs.items():
        floors = (told[name].parts if name in told else None) or {}
        gates = []
        for axis, errors in (figures.parts or {}).items():
            own = dict(enumerate(floors.get(axis, ())))
            for part, error in enumerate(errors):
                if error is not None:
                    gate = bounded("signal_error", name, limits.parts, error, None)
                    gate = _raised(gate, limits, own.get(part))
                    gates.append(replace(gate, case=f"part {part} along axis {axis}"))
        if gates:
            yield max(gates, key=lambda gate: (gate.value or 0.0) / gate.limit)


def _badness(gate: Gate) -> tuple[bool, bool, float]:
    """A key by which the worst gate comes first."""
    if gate.value is None:
        return gate.passed, False, 0.0
    return gate.passed, True, gate.value if gate.bound in OUTPUT_FLOORS else -gate.value


def _intact(output: str, figures: OutputFigures) -> Iterator[Gate]:
    """What no tolerance excuses."""
    strays = figures.nonfinite_mismatch
    if not figures.shape_match:
        # Element by element there is nothing to agree with: every NaN or infinity is a stray.
        strays = figures.nan_count + figures.inf_count
    yield Gate(
        "finite",
        output,
        0.0,
        float(strays),
        passed=strays == 0,
        reason=_strays(figures) if strays else None,
    )
    for bound, matches, said in (
        (
            "shape",
            figures.shape_match,
            f"the shape is {list(figures.shape)}, the original's is {list(figures.reference_shape)}",
        ),
        (
            "dtype",
            figures.dtype_match,
            f"the type is {figures.dtype}, the original's is {figures.reference_dtype}",
        ),
    ):
        if matches is True:
            yield Gate(bound, output, 0.0, 0.0, passed=True)
        else:
            yield Gate(bound, output, 0.0, None, passed=False, reason=said)


def _weights(weights: Weights, *, traced: bool) -> Gate:
    """Whether none of the weights is known to be another than the model's; or all are known to be its own."""
    wrong = [wrong_weight(tensor) for tensor in weights.altered]
    if traced:
        wrong += [untraced_weight(tensor) for tensor in weights.untraced]
    reason = "; ".join(wrong[:SHOWN_WEIGHTS])
    if len(wrong) > SHOWN_WEIGHTS:
        reason += f"; and {len(wrong) - SHOWN_WEIGHTS} more"
    if traced and weights.traced is not None and weights.traced < 1:
        reason = f"{share(weights)}, and all are asked for: {reason}"
    return Gate("weights", None, 0.0, float(len(wrong)), passed=not wrong, reason=reason or None)


def _strays(figures: OutputFigures) -> str:
    return (
        "NaN or infinite where the original is not the same (the artifact gives "
        f"{figures.nan_count} NaN, {figures.inf_count} infinite)"
    )


def _output_gates(
    bound: str, limits: Limits, outputs: Mapping[str, OutputFigures], floors: Floors
) -> list[Gate]:
    """The bound on each output that it means something for."""
    if not outputs:
        limit = limits.general.get(bound)
        reason = "the artifact was not run"
        return [] if limit is None else [bounded(bound, None, limit, None, reason)]
    gates = []
    for name, figures in outputs.items():
        limit = limits.of(name, bound)
        if limit is None or (bound == "top1_agreement" and _without_classes(figures)):
            continue
        if bound == "floor_ratio":
            if not figures.floating:
                continue  # One class that flips is no rounding error, whatever float32 costs.
            gates += _floor_gate(name, limits, limit, figures, floors)
            continue
        gate = bounded(bound, name, limit, figures.errors[bound], _missing(bound, figures))
        if bound == "signal_error":
            gate = _raised(gate, limits, floors.values.get(name))
        gates.append(replace(gate, worst=_worst(figures)))
    if not gates and bound == "top1_agreement" and bound in limits.general:
        reason = "no output has scores of two classes or more"
        return [bounded(bound, None, limits.general[bound], None, reason)]
    return gates


def _floor_gate(
    name: str, limits: Limits, limit: float, figures: OutputFigures, floors: Floors
) -> list[Gate]:
    """An output's error against what the model's own precision costs."""
    floor, error = floors.values.get(name), figures.signal_error
    if floor is None:
        reason = floors.missing[name]
        return [bounded("floor_ratio", name, limit, None, reason)] if limits.floor_needed else []
    ratio = None if error is None else error / floor
    gate = bounded("floor_ratio", name, limit, ratio, _missing("floor_ratio", figures))
    return [replace(gate, worst=_worst(figures))]


def _worst(figures: OutputFigures) -> int | None:
    """The sample whose error is greatest; at other sizes there are none."""
    worst = figures.worst if isinstance(figures, SampleFigures) else None
    return None if worst is None else worst.sample


def _raised(gate: Gate, limits: Limits, floor: float | None) -> Gate:
    """The gate with the limit that the model's own precision asks for, where that is higher."""
    multiple = limits.raised
    if multiple is None or floor is None or gate.value is None or multiple * floor <= gate.limit:
        return gate
    limit = min(multiple * floor, max(limits.cap, gate.limit))
    reason = f"raised from {gate.limit:g}: {multiple:g} times what the model's own precision costs"
    if limit < multiple * floor:
        reason += (
            f" ({floor:.3g}) would be {multiple * floor:.3g}, "
            f"{limit:g} is the most that a default allows"
        )
    if limit < floor and gate.value <= multiple * floor:
        cost = COSTS[limits.precision or WHOLE]
        reason += f"; {cost} takes the original itself beyond that, in torch"
    return replace(gate, limit=limit, passed=gate.value <= limit, reason=reason)


def _without_classes(figures: OutputFigures) -> bool:
    comparable = figures.shape_match and not figures.nonfinite_mismatch
    return comparable and figures.errors["top1_agreement"] is None


def _missing(bound: str, figures: OutputFigures) -> str:
    if not figures.shape_match:
        return "the shapes differ"
    if figures.nonfinite_mismatch:
        return f"{figures.nonfinite_mismatch} elements are {_strays(figures)}"
    return "beyond what a float64 can hold"


def _size_gate(limit: float, bytes: int, baseline_bytes: int | None) -> Gate:
    ratio = bytes / baseline_bytes if baseline_bytes else None
    reason = "there is no unquantized artifact of this format to compare with"
    return bounded("size_ratio", None, limit, ratio, reason)


def _latency_gate(
    limit: float, measurement: Measurement | None, ratio: AgainstFloat | None
) -> Gate:
    """The median of the rounds is judged; what noise allows is said."""
    if ratio is None:
        reason = "no runtime of this format runs it here beside an unquantized artifact"
        if measurement is not None and measurement.evaluated:
            reason = "an evaluator ran it, which takes its own time and not a device's"
        return bounded("latency_ratio", None, limit, None, reason)
    gate = bounded("latency_ratio", None, limit, ratio.ratio, None)
    said = f"95 %: {ratio.low:.2f} to {ratio.high:.2f} in {ratio.rounds} rounds"
    if not gate.passed and ratio.low <= limit:
        said += "; more rounds would decide, as the bound lies within"
    return replace(gate, reason=said)


def _metric_gate(limits: Limits, measurement: Measurement | None) -> list[Gate]:
    """The drop itself is judged; that it may be chance is said."""
    limit = limits.general["metric_drop"]
    value, reason = _metric_drop(measurement)
    metric = measurement.metric if measurement is not None else None
    if value is None or metric is None:
        return [bounded("metric_drop", None, limit, value, reason)]
    part = None
    if limits.relative and metric.name not in SHARES:
        if not metric.reference:
            return []
        part = f"the bound is {100 * limit:g} % of the original's {metric.reference:.3g}"
        limit *= abs(metric.reference)
    gate = bounded("metric_drop", None, limit, value, reason)
    if gate.value is None:
        return [gate]
    said = [part, drop(metric, None if gate.passed else limit)]
    return [replace(gate, reason="; ".join(filter(None, said)) or None)]


def _metric_drop(measurement: Measurement | None) -> tuple[float | None, str | None]:
    if measurement is None:
        return None, "the artifact was not run"
    metric = measurement.metric
    if metric is None:
        return None, "the model has no `evaluate`: give it a dataset and a metric"
    value, reference = metric.value, metric.reference
    if value is None or reference is None:
        whose = "the artifact" if value is None else "the original model"
        return None, f"the metric of {whose} is not a number"
    worse = reference - value if better(metric.name) == "higher" else value - reference
    return round(worse, DROP_DIGITS), "beyond what a float64 can hold"
