"""Activations as int8, in ranges that this project's evaluator finds where coremltools wants a Mac.

coremltools' own passes put the integers in. Its calibration runs Core ML, and keeps the range of the last
sample only; here the saved float package is run, operation by operation, on all of the data.
"""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from ...kit.protocol.request import Request, StepError
from ...kit.quantize import clipping, held_out, masks, ranges
from ...kit.quantize.calibration import Feed
from ...kit.quantize.clipping import Histogram, Range
from ...kit.quantize.masks import Magnitudes
from ...kit.quantize.mixing import Settings
from ..evaluator.program import Program
from ..evaluator.steps import Step
from ..libraries import ct, torch
from . import compression
from .layers import Assigned

BITS = 8
FOLLOWING = ("leaky_relu", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid", "relu", "relu6")
"""Operations that coremltools takes as one with what they follow."""
NESTED = ("cond", "while_loop")
Array = NDArray[Any]
Make = Callable[[Mapping[str, Range]], Any]


def quantized(
    request: Request,
    wanted: Settings,
    feeds: Sequence[Feed],
    assigned: Assigned,
    kept: Collection[str],
) -> Any:
    """The float package of a request with activations and weights as int8.

    Without `calibration.method` each is tried, and the model that errs least on held-out data is kept.

    Args:
        request: Gets notes, and `ranges` written.
        wanted: The profile: `per_channel`, `symmetric`, `calibration`.
        feeds: What to calibrate with, as the package takes it.
        assigned: The operations whose activations become integers.
        kept: Names of weights that are no part of the profile.

    Raises:
        StepError: The package has loops or branches, or no operation whose activations could be integers.
    """
    source = request.inputs["artifact"]
    torch.set_num_threads(1)  # The order of sums must not depend on the machine.
    program = Program.open(source)
    nested = [step for step in program.steps if step.operation in NESTED]
    if nested:
        raise StepError(
            f"coremltools cannot quantize activations beside loops and branches, as {nested[0].place} is",
            "take the scheme `weight-only`",
            compression.FIELD,
        )
    taking = _spared(request, program, list(_taking(program.steps, assigned)), feeds)
    if not taking:
        raise StepError(
            "nothing was quantized: no operation of the profile takes activations that can be "
            "integers; those of convolutions, linear layers, sums and pools can",
            "take the scheme `weight-only`, or keep less in float",
            compression.FIELD,
        )
    counts = Counter(step.operation for step in taking)
    request.note(
        f"activations of {len(taking)} operation{'s' * (len(taking) != 1)} are int8: "
        + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    )
    needed = _needed(program.steps, taking)
    names = [assigned.names[step.outputs[0]] for step in taking]

    def make(found: Mapping[str, Range]) -> Any:
        shared = _shared(program.steps, found)
        model = ct.models.MLModel(str(source), skip_model_load=True)
        inserted = _inserted(model, names, shared, wanted)
        return compression.compressed(inserted, wanted, list(kept))

    symmetric = wanted.get("symmetric") is not False
    told = wanted.get("calibration") or {}
    percent = told.get("percentile") or clipping.PERCENT
    method = told.get("method")
    if method is not None:
        seen = _Seen(program, needed, feeds)
        found = seen.ranges(method, percent, symmetric)
        request.note(f"ranges of activations by {method}, as asked for")
        _write(request, method, len(feeds), found)
        return make(found)
    used, judged, data = held_out.split(feeds)
    expected = [program.run(feed) for feed in judged]
    seen = _Seen(program, needed, used)
    tried = {way: seen.ranges(way, percent, symmetric) for way in clipping.METHODS}
    made = {way: make(found) for way, found in tried.items()}
    errors = {
        way: held_out.signal_error(_arrays(expected), _arrays(_outputs(request, model, judged)))
        for way, model in made.items()
    }
    best = held_out.chosen(request, errors, data)
    _write(request, best, len(used), tried[best], errors)
    return made[best]


def _taking(steps: Sequence[Step], assigned: Assigned) -> Iterator[Step]:
    """The operations that get integers: what they take is computed, and floats."""
    floats = {
        name
        for step in steps
        for name, declared in zip(step.outputs, step.types, strict=True)
        if declared.dtype in ("FLOAT16", "FLOAT32")
    }
    computed = {name for step in steps for name in step.outputs}
    for step in steps:
        if not step.outputs or step.outputs[0] not in assigned.operations:
            continue
        (given,) = step.inputs["x"]
        # What is computed by no step is an input of the program, or a constant.
        if given in floats or (
            given not in computed and given not in step.constants and step.outputs[0] in floats
        ):
            yield step


def _spared(
    request: Request, program: Program, taking: Sequence[Step], feeds: Sequence[Feed]
) -> list[Step]:
    """Those that neither take nor give numbers that no range can hold; see `kit.quantize.masks`."""
    touched = {step.number: _touched(step) for step in taking}
    names = {name for each in touched.values() for name in each}
    seen: dict[str, Magnitudes] = {}
    for name, array in _values(program, names, feeds):
        seen.setdefault(name, Magnitudes()).add(array)
    held = [name for name, magnitudes in seen.items() if magnitudes.masked]
    left = [step for step in taking if touched[step.number].isdisjoint(held)]
    if held:
        request.note(masks.note(len(taking) - len(left), held[0]))
    return left


def _touched(step: Step) -> set[str]:
    """Names of the values that an operation takes and gives, but for constants."""
    taken = {name for key in ("x", "y") for name in step.inputs.get(key, ())}
    return (taken - set(step.constants)) | {step.outputs[0]}


def _needed(steps: Sequence[Step], taking: Sequence[Step]) -> set[str]:
    """Names of the values whose ranges are asked for: what operations take and give, and what they share."""
    found = {name for step in taking for name in _touched(step)}
    for step in steps:
        if step.operation in FOLLOWING:
            found.add(step.outputs[0])
    for group in _concatenated(steps):
        if found & group:
            found |= group
    return found


def _concatenated(steps: Sequence[Step]) -> list[set[str]]:
    return [
        {*step.inputs["values"], *step.outputs} - set(step.constants)
        for step in steps
        if step.operation == "concat"
    ]


def _shared(steps: Sequence[Step], found: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges of which those that are concatenated are one, the widest, as coremltools has it."""
    shared = dict(found)
    groups: list[set[str]] = []
    for group in _concatenated(steps):
        meeting = [each for each in groups if each & group]
        groups = [each for each in groups if not each & group] + [group.union(*meeting)]
    for group in groups:
        known = [shared[name] for name in group if name in shared]
        if known:
            widest = min(low for low, _ in known), max(high for _, high in known)
            shared |= {name: widest for name in group if name in shared}
    return shared


class _Seen:
    """The values of a float package at the places of interest."""

    def __init__(self, program: Program, names: Collection[str], feeds: Sequence[Feed]) -> None:
        self._extremes: dict[str, list[Range]] = {}
        for name, array in _values(program, names, feeds):
            self._extremes.setdefault(name, []).append((float(array.min()), float(array.max())))
        self._histograms = {
            name: Histogram(min(low for low, _ in found), max(high for _, high in found))
            for name, found in self._extremes.items()
        }
        for name, array in _values(program, names, feeds):
            self._histograms[name].add(array)

    def ranges(self, method: str, percent: float, symmetric: bool) -> dict[str, Range]:
        """The range of each value, in the order of the program."""
        if method == "min-max":
            return {name: (seen.low, seen.high) for name, seen in self._histograms.items()}
        if method == "moving-average":
            return {
                name: (
                    float(np.mean([low for low, _ in found])),
                    float(np.mean([high for _, high in found])),
                )
                for name, found in self._extremes.items()
            }
        return {
            name: clipping.clipped(seen, method, percent, BITS, symmetric)
            for name, seen in self._histograms.items()
        }


def _values(
    program: Program, names: Collection[str], feeds: Sequence[Feed]
) -> Iterator[tuple[str, Array]]:
    """What floats are at places of a program, run by run."""
    for feed in feeds:
        found = {name: np.asarray(a) for name, a in feed.items() if name in names}

        def observe(step: Step, results: tuple[Any, ...], into: Any = found) -> None:
            for name, result in zip(step.outputs, results, strict=True):
                if name in names:
                    into[name] = result.numpy().copy()

        program.run(feed, observe=observe)
        yield from ((name, a) for name, a in found.items() if a.dtype.kind == "f" and a.size)


def _inserted(
    model: Any, names: Sequence[str], found: Mapping[str, Range], wanted: Settings
) -> Any:
    """The model with operations' activations as integers, by coremltools."""
    optimize = ct.optimize.coreml
    mode = "linear" if wanted.get("symmetric") is False else "linear_symmetric"
    config = optimize.OptimizationConfig()
    for name in names:
        config.set_op_name(name, optimize.OpLinearQuantizerConfig(mode=mode))

    def extremes(activation_stats: Any, var_name: str) -> Array:
        # coremltools rounds them to float16, which gives scales that its operators refuse in float32.
        low, high = found[var_name]
        return np.array([low, high] if low < high else [0.0, 1.0], dtype=np.float32)

    registry = ct.converters.mil.mil.passes.pass_registry.PASS_REGISTRY
    suffixes = type(registry["compression::insert_suffix_quantize_dequantize_pair"])
    follow = suffixes._try_apply_transform

    def following(self: Any, last_op: Any, *rest: Any) -> bool:
        # An output of the program that is read within as well cannot be replaced, and is not tried.
        given = last_op.enclosing_block.outputs
        return not any(var in given for var in last_op.outputs) and follow(self, last_op, *rest)

    steps = sys.modules[optimize.linear_quantize_activations.__module__]
    try:
        with (
            mock.patch.object(steps, "_get_activation_calibration_stats", return_value={}),
            mock.patch.object(ct.optimize._utils, "get_min_and_max_values", extremes),
            mock.patch.object(suffixes, "_try_apply_transform", following),
        ):
            return optimize.linear_quantize_activations(model, config, [])
    except Exception as error:  # Whatever coremltools raises is about this model.
        traceback.print_exc(file=sys.stderr)
        raise StepError(
            f"coremltools cannot quantize activations of this model: "
            f"{' '.join(f'{type(error).__name__}: {error}'.split())[:400]}",
            "take the scheme `weight-only`, or name layers in `keep_float`",
            compression.FIELD,
        ) from error


def _outputs(request: Request, model: Any, feeds: Sequence[Feed]) -> list[dict[str, Any]]:
    draft: Path = request.scratch / "tried.mlpackage"
    model.save(str(draft))
    program = Program.open(draft)
    return [program.run(feed) for feed in feeds]


def _arrays(runs: Sequence[Mapping[str, Any]]) -> list[held_out.Outputs]:
    """Outputs as arrays; a classifier's dictionary as its numbers, and no label."""
    return [
        {
            name: np.array(list(value.values())) if isinstance(value, Mapping) else value
            for name, value in run.items()
            if isinstance(value, Mapping | np.ndarray)
        }
        for run in runs
    ]


def _write(
    request: Request,
    method: str,
    runs: int,
    found: Mapping[str, Range],
    errors: Mapping[str, float] | None = None,
) -> None:
    told = {name: [span] for name, span in found.items()}
    ranges.write(request.outputs["ranges"], method, runs, told, errors)
