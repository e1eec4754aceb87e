"""Measures an artifact against the original model; a built-in step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.arrays import Arrays
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.backends.kit.run.extremes import sizes_of
from buildsys.backends.kit.run.signals import parts
from buildsys.figures.json_form import read
from buildsys.figures.weights import Weights
from buildsys.verify.outputs.edge_cases import edges
from buildsys.verify.outputs.fault import VerifyError
from buildsys.verify.outputs.metrics import compare, variation
from buildsys.verify.outputs.spread import spread
from buildsys.verify.outputs.task_metric import check_names, evaluation
from buildsys.verify.wording import noted


def measure(request: Request) -> None:
    """Writes `measurement`: figures of each output, the task's metric, and what the run cost.

    Inputs: `got` and `reference` (`.npz`, output name to [n, ...]) for the samples; `run`
    (`run.json`); for a metric what `task_metric.evaluation` reads; where sizes vary `got_extremes` and
    `reference_extremes` (see `kit.run.extremes`); maybe `got_edges` and `reference_edges` (see
    `kit.run.edges`), `floor` (`floor.json`: what the model's own precision costs it), `weights`
    (`weights.json`, see `verify.weights.comparison`), and of what was run with rounded weights alone
    `graph_got`, `graph_got_edges`, and of the original with those weights `graph_reference`,
    `graph_reference_edges`, `graph_told`; `plain`, what a run without fast kernels gave for
    the first samples.
    Options: `outputs`, in the model's order; `metric`, the name of one that is built in, or `null`;
    `unrounded`, whether `graph_got` is of another run than `got`, which rounds nothing but the weights;
    `fast_kernels`, those that `plain` is without, in words.

    Raises:
        StepError: The reference or the labels allow no judgement, or an output is missing.
    """
    try:
        record = _record(request)
    except VerifyError as error:
        raise StepError(error.message, error.hint, error.field) from error
    text = json.dumps(_representable(record), indent=1, allow_nan=False, ensure_ascii=False)
    request.outputs["measurement"].write_text(text + "\n", encoding="utf-8")


def check_original(request: Request) -> None:
    """Checks that the original's outputs allow a judgement; for artifacts that nothing runs here.

    Inputs: `reference`. Options: `outputs`. Writes `original` (`original.json`).

    Raises:
        StepError: They are NaN, do not vary over the samples, or are not the recipe's.
    """
    reference = arrays.load(request.inputs["reference"])
    names: list[str] = request.options["outputs"]
    check_names("the original model", reference, names)
    try:
        for name in names:
            compare(reference[name], reference[name], name)
    except VerifyError as error:
        raise StepError(error.message, error.hint, error.field) from error
    record = {"outputs": names, "samples": len(reference[names[0]])}
    request.outputs["original"].write_text(json.dumps(record) + "\n", encoding="utf-8")


def _record(request: Request) -> dict[str, Any]:
    got, reference = arrays.load(request.inputs["got"]), arrays.load(request.inputs["reference"])
    names: list[str] = request.options["outputs"]
    for owner, outputs in (("the artifact", got), ("the original model", reference)):
        check_names(owner, outputs, names)
    return {
        "outputs": {
            name: compare(got[name], reference[name], name).to_json()
            | spread(got[name], reference[name])
            | parts(got[name], reference[name])
            for name in names
        },
        **_extremes(request, reference, names),
        **_edges(request, reference, names),
        **_weights(request),
        **_graph(request, reference, names),
        **_plain(request, got, reference, names),
        "metric": evaluation(request, names),
        "samples": len(reference[names[0]]),
        **_read(request.inputs["run"]),
        **({"floor": _read(request.inputs["floor"])} if "floor" in request.inputs else {}),
    }


def _weights(request: Request) -> dict[str, Any]:
    """What comparing the weights gave; what is large there and no weight explains is noted."""
    if "weights" not in request.inputs:
        return {}
    weights = _read(request.inputs["weights"])
    for note in noted(read(Weights, weights)):
        request.note(note)
    return {"weights": weights}


def _graph(request: Request, samples: Arrays, names: list[str]) -> dict[str, Any]:
    """The comparison with the original that was given the artifact's own weights; or why there is none."""
    if "graph_got" not in request.inputs:
        return {}
    got, reference, got_edges, reference_edges = (
        arrays.load(request.inputs[f"graph_{name}"])
        for name in ("got", "reference", "got_edges", "reference_edges")
    )
    told = _read(request.inputs["weights"])["held"]
    given = _read(request.inputs["graph_told"])
    alone = _unrounded(request, got, samples, names)
    reason = told["reason"] or given["reason"]
    if reason is not None:
        return {"graph": {"reason": reason, **alone}}
    try:
        outputs = {
            name: compare(got[name], reference[name], name, variation(samples[name])).to_json()
            for name in names
        }
        cost = {name: compare(reference[name], samples[name], name).to_json() for name in names}
        at_edges = edges(got_edges, reference_edges, samples, names)
    except VerifyError as error:  # Its rounded weights make of the original what is no reference.
        return {"graph": {"reason": error.message, **alone}}
    cases = [{"case": edge["case"], "outputs": _errors(edge["outputs"])} for edge in at_edges]
    numbers = [told["numbers"][place] for place in given["numbers"]]
    return {
        "graph": {
            "outputs": _errors(outputs),
            "cost": _errors(cost),
            "edges": cases,
            "numbers": numbers,
            **alone,
        }
    }


def _unrounded(request: Request, got: Arrays, samples: Arrays, names: list[str]) -> dict[str, Any]:
    """What a run that rounds nothing but the weights is off, where the artifact had one."""
    if not request.options.get("unrounded"):
        return {}
    figures = {name: compare(got[name], samples[name], name).to_json() for name in names}
    return {"unrounded": _errors(figures)}


def _plain(request: Request, got: Arrays, reference: Arrays, names: list[str]) -> dict[str, Any]:
    """What a run without fast kernels is off, and what the shipped one is off for the same samples."""
    plain = arrays.load(request.inputs["plain"]) if "plain" in request.inputs else {}
    if not plain:
        return {}
    outputs = {}
    for name in names:
        count, signal = len(plain[name]), variation(reference[name])
        few = reference[name][:count]
        outputs[name] = {
            "signal_error": compare(plain[name], few, name, signal).errors["signal_error"],
            "shipped": compare(got[name][:count], few, name, signal).errors["signal_error"],
        }
    return {"plain": {"without": request.options["fast_kernels"], "outputs": outputs}}


def _errors(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: {"signal_error": each["signal_error"]} for name, each in figures.items()}


def _extremes(request: Request, samples: Arrays, names: list[str]) -> dict[str, Any]:
    """The comparison at the smallest and the largest sizes that the artifact was run at.

    Two inputs do not tell how much an output varies: what the samples tell counts as well.
    """
    if "got_extremes" not in request.inputs:
        return {}
    got = arrays.grouped(arrays.load(request.inputs["got_extremes"]))
    reference = arrays.grouped(arrays.load(request.inputs["reference_extremes"]))
    signal = {name: variation(samples[name]) for name in names}
    found = []
    for label, outputs in got.items():
        original = reference[label]
        figures = {
            name: compare(outputs[name], original[name], name, signal[name]).to_json()
            for name in names
            if original[name].size or original[name].shape != outputs[name].shape
        }
        found.append({"at": sizes_of(label), "outputs": figures})
    return {"extremes": found}


def _edges(request: Request, samples: Arrays, names: list[str]) -> dict[str, Any]:
    """The comparison on zeros and on extreme values."""
    if "got_edges" not in request.inputs:
        return {}
    got, reference = (
        arrays.load(request.inputs[name]) for name in ("got_edges", "reference_edges")
    )
    return {"edges": edges(got, reference, samples, names)}


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def _representable(value: Any) -> Any:
    """The value with `null` for every number that JSON has no word for."""
    if isinstance(value, Mapping):
        return {key: _representable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_representable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
