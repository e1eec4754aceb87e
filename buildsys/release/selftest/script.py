#!/usr/bin/env python3
"""Runs the artifacts of this bundle on the inputs beside them, and compares with the original model.

    python selftest.py [--json] [LABEL ...]

It needs numpy, and what runs the formats: onnxruntime for ONNX, ai_edge_litert for TFLite,
coremltools on a Mac for Core ML. It needs nothing of modelbuild, whose figures these are.

Exit status: 0 everything was run, and every bound holds; 3 a bound does not hold, or an artifact
cannot be loaded or run; 5 nothing failed, but something was not run; 2 usage.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, Any]
Run = Callable[[Arrays], Arrays]
Case = dict[str, Any]
Row = tuple[str, str, float, Any, bool]

PASSED, FAILED, NOT_RUN = "passed", "FAILED", "not run"
HELD, USAGE, REFUSED, INCOMPLETE = 0, 2, 3, 5
CEILINGS = ("signal_error", "max_abs", "max_rel", "mean_abs", "rmse")
SQNR_CAP = 300.0
FAMILIES = {"f": "floating", "i": "whole", "u": "whole", "b": "boolean"}


class NotRun(Exception):
    """An artifact cannot be run here, for a reason that is not its own."""


class Broken(Exception):
    """An artifact does not do what its contract says."""


def onnx(path: Path) -> Run:
    """What runs an ONNX file, or a folder of one with its weights: a feed to outputs by name."""
    runtime = _module("onnxruntime")
    file = path / "model.onnx" if path.is_dir() else path
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feed: dict(_pairs(names, session.run(names, feed)))


def tflite(path: Path) -> Run:
    """What runs a TFLite file, by its signature."""
    interpreter = _module("ai_edge_litert.interpreter").Interpreter(str(path))
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner("serving_default")

    def run(feed: Arrays) -> Arrays:
        return {name: np.array(value) for name, value in runner(**feed).items()}

    run.interpreter = interpreter  # type: ignore[attr-defined]  # The runner holds no reference.
    return run


def coreml(path: Path) -> Run:
    """What runs a Core ML package or an `.mlmodel`."""
    if platform.system() != "Darwin":
        raise NotRun("Core ML runs on a Mac only")
    predict: Run = _module("coremltools").models.MLModel(str(path)).predict
    return predict


LOADERS = {
    "onnx": onnx,
    "onnx_external": onnx,
    "tflite": tflite,
    "coreml": coreml,
    "mlmodel": coreml,
}
"""By format: what loads an artifact."""


def _pairs(names: Iterable[str], values: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return zip(names, values)  # noqa: B905 (Python 3.9 knows no `strict`.)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise NotRun(f"{name.partition('.')[0]} is not installed here ({error})") from error


def outputs_of(run: Run, case: Case, samples: Arrays, shapes: dict[str, tuple[int, ...]]) -> Arrays:
    """The outputs for all samples, [n, ...] each, with the model's own axes.

    Args:
        run: From `LOADERS`.
        case: The artifact's entry in `cases.json`.
        samples: Input name to [n, ...].
        shapes: Output name to the shape of the original's, [n, ...].
    """
    total, batch = case["samples"], case["batch"]
    parts: dict[str, list[Any]] = {port["name"]: [] for port in case["outputs"]}
    for start in range(0, total, batch):
        rows = np.minimum(np.arange(start, start + batch), total - 1)
        feed = {}
        for port in case["inputs"]:
            array = samples[port["name"]]
            array = array[rows] if port["batched"] else array[start]
            if port["permutation"] == []:
                array = array.reshape(1)
            elif port["permutation"] is not None:
                array = array.transpose(port["permutation"])
            feed[port["artifact_name"]] = np.asarray(array.astype(port["dtype"]), order="C")
        got = run(feed)
        kept = min(batch, total - start)
        for port in case["outputs"]:
            if port["artifact_name"] not in got:
                raise Broken(f"it gives no output `{port['artifact_name']}`, but {', '.join(got)}")
            row = tuple(shapes[port["name"]][1:])
            parts[port["name"]].append(_rows(got[port["artifact_name"]], port, batch, row)[:kept])
    return {name: np.concatenate(found) for name, found in parts.items()}


def _rows(value: Any, port: Case, batch: int, row: tuple[int, ...]) -> Any:
    """An output of one run with the batch as its first axis."""
    if isinstance(value, dict):  # A classifier's probabilities, by label.
        value = np.array([[value[label] for label in port["labels"]]])
    array = np.asarray(value)
    if port["permutation"] == []:
        array = array.reshape(())
    elif port["permutation"] is not None:
        array = array.transpose(np.argsort(port["permutation"]))
    if array.shape == (batch, *row):
        return array
    if batch == 1 and array.shape == row:
        return array[np.newaxis]
    for axis in range(1, array.ndim):
        moved = np.moveaxis(array, axis, 0)
        if moved.shape == (batch, *row):
            return moved
    raise Broken(f"`{port['name']}` has the shape {list(array.shape)}, not {[batch, *row]}")


def figures(artifact: Any, reference: Any, variation: float) -> dict[str, float]:
    """How far an output [n, ...] is from the original's, as modelbuild's `verify` takes it.

    `variation` is the root mean square of the original's output minus its mean over all of the samples
    that a build had, which may be more than these.
    """
    out, ref = artifact.astype(np.float64), reference.astype(np.float64)
    agree = np.isfinite(out) & np.isfinite(ref)
    strays = int(np.count_nonzero(~agree & (out != ref)))
    if strays:
        return {"strays": strays}
    o, r = out[agree], ref[agree]
    d = o - r
    root = np.sqrt(max(1, d.size))
    finite = np.isfinite(ref)
    zeroed = np.where(finite, ref, 0.0)
    mean = (zeroed / np.maximum(finite.sum(axis=0), 1)).sum(axis=0)
    signal = max(_norm(np.where(finite, zeroed - mean, 0.0)), variation * root)
    error, size, made = _norm(d), max(_norm(r), variation * root), _norm(o)
    rms = size / root
    found = {
        "strays": 0,
        "signal_error": error / signal if signal else 0.0 if not error else np.inf,
        "max_abs": np.abs(d).max(initial=0.0),
        "max_rel": (np.abs(d) / np.maximum(np.abs(r), rms)).max(initial=0.0) if size else 0.0,
        "mean_abs": np.abs(d).mean() if d.size else 0.0,
        "rmse": error / root,
        "cosine": 1.0 if not error else float(o @ r) / (made * size) if made else 0.0,
        "sqnr_db": SQNR_CAP if not error else min(20 * np.log10(size / error), SQNR_CAP),
    }
    if reference.dtype.kind == "f" and ref.ndim > 1 and ref.shape[-1] > 1:
        chosen = np.take_along_axis(ref, out.argmax(axis=-1)[..., None], axis=-1)[..., 0]
        found["top1_agreement"] = (chosen == ref.max(axis=-1)).mean()
    return {name: float(value) for name, value in found.items()}


def _norm(values: Any) -> float:
    return float(np.sqrt(np.square(values).sum()))


def judge(case: Case, got: Arrays, expected: Arrays) -> list[Row]:
    """Every bound of every output: `(output, bound, limit, value, passed)`."""
    rows: list[Row] = []
    for port in case["outputs"]:
        name = port["name"]
        out, ref = got[name], expected[name]
        same = FAMILIES.get(out.dtype.kind) == FAMILIES.get(ref.dtype.kind)
        rows.append((name, "dtype", 0.0, 0.0 if same else 1.0, same))
        found = figures(out, ref, port["variation"])
        strays = found["strays"]
        rows.append((name, "finite", 0.0, float(strays), strays == 0))
        for bound, limit in port["bounds"].items():
            value = found.get(bound)
            if value is None:
                if strays or bound != "top1_agreement":
                    rows.append((name, bound, limit, None, False))
                continue
            passed = value <= limit if bound in CEILINGS else value >= limit
            rows.append((name, bound, limit, value, bool(passed)))
    return rows


def run_case(folder: Path, case: Case) -> tuple[str, str, list[Row]]:
    """Runs one artifact; gives its status, what is to be said, and its bounds."""
    load = LOADERS.get(case["format"])
    pictures = [port["name"] for port in case["inputs"] if port["kind"] == "image"]
    try:
        if load is None:
            raise NotRun(f"this script does not run {case['format']}")
        if pictures:
            raise NotRun(f"`{pictures[0]}` is a picture, and the samples are arrays")
        samples, expected = (
            dict(np.load(folder / case[name], allow_pickle=False))
            for name in ("inputs_file", "expected_file")
        )
        shapes = {name: array.shape for name, array in expected.items()}
        rows = judge(case, outputs_of(load(folder / case["path"]), case, samples, shapes), expected)
    except NotRun as error:
        return NOT_RUN, str(error), []
    except Exception as error:
        text = " ".join(str(error).split())
        return FAILED, text if isinstance(error, Broken) else f"{type(error).__name__}: {text}", []
    failed = [row for row in rows if not row[4]]
    said = "; ".join(
        f"{bound} of {output} is {'no number' if value is None else format(value, '.3g')}, "
        f"the bound is {limit:.3g}"
        for output, bound, limit, value, _ in failed
    )
    return FAILED if failed else PASSED, said, rows


def nearest(rows: list[Row]) -> str:
    """The bound that is used up most, for the table."""
    used = [
        (value / limit, f"{bound} {value:.2g} ≤ {limit:.2g}")
        for _, bound, limit, value, _ in rows
        if bound in CEILINGS and limit and value is not None
    ]
    return max(used)[1] if used else "–"


def main(arguments: list[str] | None = None) -> int:
    """Runs the artifacts that are asked for, and prints a table or JSON."""
    parser = argparse.ArgumentParser(
        prog="selftest.py", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("labels", nargs="*", metavar="LABEL", help="default: every artifact")
    parser.add_argument("--json", action="store_true", help="JSON on standard output")
    asked = parser.parse_args(arguments)
    folder = Path(__file__).resolve().parent
    cases = json.loads((folder / "selftest" / "cases.json").read_text(encoding="utf-8"))["cases"]
    known = [case["label"] for case in cases]
    for label in asked.labels:
        if label not in known:
            parser.error(f"no artifact is called {label}; there are {', '.join(known)}")
    results = []
    for case in cases:
        if not asked.labels or case["label"] in asked.labels:
            results.append((case["label"], *run_case(folder, case)))
    statuses = {status for _, status, _, _ in results}
    code = REFUSED if FAILED in statuses else INCOMPLETE if NOT_RUN in statuses else HELD
    if asked.json:
        record = {
            "version": 1,
            "exit": code,
            "artifacts": [
                {
                    "label": label,
                    "status": status.lower(),
                    "reason": said or None,
                    "gates": [
                        dict(_pairs(("output", "bound", "limit", "value", "pass"), row))
                        for row in rows
                    ],
                }
                for label, status, said, rows in results
            ],
        }
        print(json.dumps(record, indent=1, ensure_ascii=False))
        return code
    width = max((len(label) for label, *_ in results), default=0)
    for label, status, said, rows in results:
        told = said if status != PASSED else nearest(rows)
        print(f"{label:<{width}}  {status:<7}  {told}".rstrip())
    if code == INCOMPLETE:
        print("not everything was run")
    return code


if __name__ == "__main__":
    sys.exit(main())
