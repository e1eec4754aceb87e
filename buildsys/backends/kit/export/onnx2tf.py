"""onnx2tf, which goes from ONNX to TensorFlow: as it is called for TFLite and for SavedModels."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..protocol import ports
from ..protocol.contract import Contract
from ..protocol.request import Request, StepError
from . import onnx_branches, onnx_copy
from .tensorflow import ENVIRON

_NOT_IMPLEMENTED = re.compile(r"(?P<op>\w+) OP is not yet implemented")
_FAILED_AT = re.compile(r"onnx_op_name: (?P<node>\S+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SAMPLE_IMAGES = "calibration_image_sample_data_20x128x128x3_float32.npy"
SEEDS = (0, 1)
"""Of the random inputs that a model and what was made of it are both run on."""

# A sum's last digit depends on how many add it up, and constants are sums at times.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}

Feed = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Names:
    """The names in what is made, by the recipe's.

    Attributes:
        inputs: Of inputs.
        outputs: Of outputs.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Converted:
    """What onnx2tf gave.

    Attributes:
        folder: A SavedModel, with TFLite files beside it.
        expected: The ONNX model's outputs, by their names in what is made, for `feeds`.
        feeds: The recipe's input names to random values at the example size.
    """

    folder: Path
    expected: tuple[Feed, ...]
    feeds: tuple[Feed, ...]


def convert(request: Request, names: Names, way_out: str) -> Converted:
    """Converts the request's `artifact`, with sizes fixed at the example; inputs keep their layout.

    Args:
        request: `artifact`, `io` and `ports` are read, and the scratch folder is used.
        names: What inputs and outputs are called in what is made.
        way_out: The hint where onnx2tf fails.

    Raises:
        StepError: onnx2tf fails.
    """
    source = Contract.read(request.inputs["io"])
    specs = request.options["ports"]
    sizes = ports.example_sizes(specs)
    shapes = {spec["name"]: ports.concrete(spec["shape"], sizes) for spec in specs}
    work = request.scratch / "onnx2tf"
    # A step that is run again in its folder finds what it left.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    fixed, simple = work / "fixed.onnx", work / "model.onnx"
    onnx_copy.write(
        request.inputs["artifact"],
        fixed,
        {port.artifact_name or port.name: shapes[port.name] for port in source.inputs},
        {
            port.artifact_name or port.name: renamed[port.name]
            for renamed, all_ports in (
                (names.inputs, source.inputs),
                (names.outputs, source.outputs),
            )
            for port in all_ports
        },
        onnx_branches.single_values(
            specs,
            {port.artifact_name or port.name: shapes[port.name] for port in source.inputs},
            {port.name: port.artifact_name or port.name for port in source.inputs},
        ),
    )
    _run("onnxsim", [str(fixed), str(simple)], work, way_out)
    _provide_sample_images(work, list(shapes.values()))
    # Without `-nuo` it would look for `onnxsim` on PATH and go on without it. `-coion` is left out:
    # it runs a `flatc` from PATH on a schema from the network, and names are right without it.
    keep = ["-kat", *names.inputs.values()]
    _run("onnx2tf", ["-i", simple.name, "-o", "out", "-n", "-nuo", *keep], work, way_out)
    feeds = tuple(ports.random_feed(specs, sizes, seed) for seed in SEEDS)
    return Converted(work / "out", _expected(request, fixed, names, feeds), feeds)


def _expected(
    request: Request, fixed: Path, names: Names, feeds: tuple[Feed, ...]
) -> tuple[Feed, ...]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request.threads
    original = onnxruntime.InferenceSession(str(fixed), options, providers=["CPUExecutionProvider"])
    given = [output.name for output in original.get_outputs()]
    runs = ({names.inputs[name]: array for name, array in feed.items()} for feed in feeds)
    return tuple(dict(zip(given, original.run(None, run), strict=True)) for run in runs)


def _run(module: str, arguments: list[str], work: Path, way_out: str) -> None:
    """Runs a converter's module in a process of its own: they exit, and crash, as they like."""
    process = subprocess.run(
        [sys.executable, "-s", "-P", "-m", module, *arguments],
        cwd=work,
        env={**os.environ, "PATH": os.defpath, **ENVIRON, **ONE_THREAD},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    log = _COLOUR.sub("", process.stdout)
    print(log, flush=True)
    if process.returncode == 0:
        return
    if process.returncode < 0:
        reason = f"was ended by {signal.Signals(-process.returncode).name}"
    else:
        reason = _reason(log) or f"ended with status {process.returncode}"
    raise StepError(f"{module} {reason}", way_out)


def _reason(log: str) -> str | None:
    missing = _NOT_IMPLEMENTED.search(log)
    if missing:
        return f"has no operator for `{missing['op']}`"
    lines = [
        line.strip() for line in log.splitlines() if re.match(r"\s*\w*(Error|Exception): ", line)
    ]
    failed_at = _FAILED_AT.search(log)
    place = f" at `{failed_at['node']}`" if failed_at else ""
    if lines or place:
        return f"cannot convert this model{place}: {lines[-1][:400] if lines else 'see the log'}"
    return None


def _provide_sample_images(work: Path, shapes: list[list[int]]) -> None:
    """Saves what onnx2tf would download for inputs that look like channels-last images."""
    if all(len(shape) == 4 and shape[-1] == 3 for shape in shapes):
        images = np.random.default_rng(0).random((20, 128, 128, 3), dtype=np.float32)
        np.save(work / _SAMPLE_IMAGES, images)
