"""The ONNX route: an ONNX model to TFLite by onnx2tf, which goes through TensorFlow."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ..kit import ports
from ..kit.contract import Contract, Port
from ..kit.request import Request, StepError
from . import onnx_copy
from .census import census
from .layouts import Place, layout_after, locate
from .names import alias, note_fixed_sizes
from .signature import Signature

OTHER_ROUTE = "take `route: direct` for this deployable, which needs a PyTorch source"

_NOT_IMPLEMENTED = re.compile(r"(?P<op>\w+) OP is not yet implemented")
_FAILED_AT = re.compile(r"onnx_op_name: (?P<node>\S+)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_SAMPLE_IMAGES = "calibration_image_sample_data_20x128x128x3_float32.npy"

Feed = dict[str, NDArray[Any]]


def convert(request: Request) -> None:
    """Makes a TFLite file whose inputs keep their layout; what its outputs' became is measured.

    Raises:
        StepError: onnx2tf fails, the file does not load, or an output's values are found nowhere.
    """
    source = Contract.read(request.inputs["io"])
    sizes = ports.example_sizes(request.options["ports"])
    shapes = {
        spec["name"]: ports.concrete(spec["shape"], sizes) for spec in request.options["ports"]
    }
    inputs = {port.name: alias(request, "input", port.name) for port in source.inputs}
    outputs = {port.name: alias(request, "output", port.name) for port in source.outputs}
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
            port.artifact_name or port.name: names[port.name]
            for names, all_ports in ((inputs, source.inputs), (outputs, source.outputs))
            for port in all_ports
        },
    )
    _run("onnxsim", [str(fixed), str(simple)], work)
    _provide_sample_images(work, list(shapes.values()))
    # Without `-nuo` it would look for `onnxsim` on PATH and go on without it. `-coion` is left out:
    # it runs a `flatc` from PATH on a schema from the network, and names are right without it.
    keep = ["-kat", *inputs.values()]
    _run("onnx2tf", ["-i", simple.name, "-o", "out", "-n", "-nuo", *keep], work)
    made = work / "out" / "model_float32.tflite"
    if not made.is_file():
        raise StepError("onnx2tf ended well but wrote no float32 file", OTHER_ROUTE)
    model = made.read_bytes()
    _refuse_custom(model)
    contract = _measured(request, source, model, fixed, inputs, outputs)
    note_fixed_sizes(request)
    request.outputs["artifact"].write_bytes(model)
    contract.write(request.outputs["io"])


def _run(module: str, arguments: list[str], work: Path) -> None:
    """Runs a converter's module in a process of its own: they exit, and crash, as they like."""
    process = subprocess.run(
        [sys.executable, "-s", "-P", "-m", module, *arguments],
        cwd=work,
        env={
            **os.environ,
            "PATH": os.defpath,
            "CUDA_VISIBLE_DEVICES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            # Its kernels differ by processor, and constants are folded with them.
            "TF_ENABLE_ONEDNN_OPTS": "0",
            "AUTOGRAPH_VERBOSITY": "0",
        },
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
    raise StepError(f"{module} {reason}", OTHER_ROUTE)


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


def _refuse_custom(model: bytes) -> None:
    unknown = sorted(census(model).custom)
    if unknown:
        raise StepError(
            f"onnx2tf wrote operators that LiteRT does not have: {', '.join(unknown)}", OTHER_ROUTE
        )


def _measured(
    request: Request,
    source: Contract,
    model: bytes,
    fixed: Path,
    inputs: dict[str, str],
    outputs: dict[str, str],
) -> Contract:
    """Runs the ONNX model and the file on the same random inputs, and describes the file."""
    signature = Signature(model, request.threads)
    contract = Contract()
    sizes = ports.example_sizes(request.options["ports"])
    specs = {spec["name"]: spec for spec in request.options["ports"]}
    for port in source.inputs:
        name = inputs[port.name]
        tensor = signature.inputs.get(name)
        wanted = tuple(ports.concrete(specs[port.name]["shape"], sizes))
        if tensor is None or tensor.shape != wanted:
            raise StepError(
                f"onnx2tf did not keep input `{port.name}` {list(wanted)}: the file has "
                + ", ".join(f"`{n}` {list(t.shape)}" for n, t in signature.inputs.items()),
                OTHER_ROUTE,
            )
        _note_dtype(request, "input", port.name, port.dtype, tensor.dtype)
        contract.inputs.append(
            Port(
                port.name,
                list(tensor.shape),
                tensor.dtype,
                layout=port.layout,
                artifact_name=name if name != port.name else None,
            )
        )
    expected, found = _run_both(request, contract, signature, fixed)
    taken: list[str] = []
    for port in source.outputs:
        name = outputs[port.name]
        place = locate(name, [run[name] for run in expected], found, taken)
        if place is None:
            raise StepError(
                f"onnx2tf changed what the model computes: no output of the file holds the values "
                f"of `{port.name}`, in any order of axes",
                OTHER_ROUTE,
            )
        taken.append(place.name)
        contract.outputs.append(_output(request, port, place, signature))
    return contract


def _run_both(
    request: Request, contract: Contract, signature: Signature, fixed: Path
) -> tuple[list[Feed], list[Feed]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request.threads
    original = onnxruntime.InferenceSession(str(fixed), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in original.get_outputs()]
    sizes = ports.example_sizes(request.options["ports"])
    expected, found = [], []
    for seed in (0, 1):
        feed = ports.random_feed(request.options["ports"], sizes, seed)
        by_name = {port.artifact_name or port.name: feed[port.name] for port in contract.inputs}
        expected.append(dict(zip(names, original.run(None, by_name), strict=True)))
        found.append(
            signature.run(
                {
                    port.artifact_name or port.name: ports.to_artifact(port, feed[port.name])
                    for port in contract.inputs
                }
            )
        )
    return expected, found


def _output(request: Request, port: Port, place: Place, signature: Signature) -> Port:
    tensor = signature.outputs[place.name]
    shape: list[int | str] = list(tensor.shape)
    layout = layout_after(port.layout, place.permutation)
    if place.permutation is not None:
        request.note(
            f"output `{port.name}` has the layout {layout or list(place.permutation)} {shape} in the "
            f"TFLite file: the model's axes in the order {list(place.permutation)}"
        )
    if place.name != port.name:
        request.note(f"output `{port.name}` is named `{place.name}` in the TFLite file")
    _note_dtype(request, "output", port.name, port.dtype, tensor.dtype)
    return Port(
        port.name,
        shape,
        tensor.dtype,
        layout=layout,
        artifact_name=place.name if place.name != port.name else None,
        permutation=list(place.permutation) if place.permutation is not None else None,
    )


def _note_dtype(request: Request, kind: str, name: str, before: str, after: str) -> None:
    if before != after:
        request.note(f"{kind} `{name}` is {after} in the TFLite file, {before} in the model")
