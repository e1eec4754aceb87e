"""Writes ORT files, and the lists of operators that builds of ONNX Runtime need for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ..kit.export.survey import capture_sizes
from ..kit.protocol import ports as ports_of
from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.request import Request, StepError
from . import canonical, runtime

LEVELS = {
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
SETTINGS = {
    "session.save_model_format": "ORT",
    # Its default depends on the processor: signed integers on ARM, unsigned elsewhere.
    "session.qdqisint8allowed": "0",
}
DTYPES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's words that are not numpy's."""


def convert(request: Request) -> None:
    """Makes an ORT file, and runs it.

    Inputs: `artifact` (ONNX), `io`. Options: `ports`, `format.optimization`.

    Raises:
        StepError: ONNX Runtime refuses the model.
    """
    contract = Contract.read(request.inputs["io"])
    made = _write(request)
    request.outputs["artifact"].write_bytes(canonical.form(made.read_bytes()))
    session = runtime.load(request.outputs["artifact"], contract, request.threads)
    _check("inputs", session.inputs, contract.inputs)
    _check("outputs", session.outputs, contract.outputs)
    ports = request.options["ports"]
    session.run(ports_of.random_feed(ports, capture_sizes(ports, dynamic=True), seed=0))
    contract.write(request.outputs["io"])


def list_operators(request: Request) -> None:
    """Lists the operators of a model's ORT file, for `build.py --include_ops_by_config`.

    Inputs: `artifact` (ONNX), `io`. Options: `format.optimization`, `format.type_reduction`.

    Raises:
        StepError: ONNX Runtime refuses the model.
    """
    # Both put folders of their own in front of the search for modules when they are imported.
    from onnxruntime.tools.ort_format_model import create_config_from_models
    from onnxruntime.tools.reduced_build_config_parser import parse_config

    types = request.options["format"]["type_reduction"]
    path, listed = request.outputs["artifact"], request.scratch / "listed.config"
    create_config_from_models([_write(request)], listed, types)
    lines = listed.read_text().splitlines()
    # What the comments say is where the file lay.
    path.write_text("\n".join([line for line in lines if not line.startswith("#")]) + "\n")
    operators, _ = parse_config(str(path), types)
    if not any(names for opsets in operators.values() for names in opsets.values()):
        raise StepError("the model has no operators: there is nothing to build for it")
    Contract.read(request.inputs["io"]).write(request.outputs["io"])


def _write(request: Request) -> Path:
    """The ORT file as ONNX Runtime writes it."""
    made = request.scratch / "model.ort"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = LEVELS[request.options["format"]["optimization"]]
    options.optimized_model_filepath = str(made)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = runtime.ERRORS_ONLY
    for name, value in SETTINGS.items():
        options.add_session_config_entry(name, value)
    try:
        onnxruntime.InferenceSession(
            request.inputs["artifact"], options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        version = onnxruntime.__version__
        raise StepError(f"onnxruntime {version} cannot convert the model: {error}") from error
    return made


def _check(what: str, values: Any, wanted: list[Port]) -> None:
    """Compares names, order and dtypes with the contract's."""
    have = [(value.name, _dtype(value.type)) for value in values]
    if have != [(port.artifact_name or port.name, port.dtype) for port in wanted]:
        raise StepError(f"the conversion changed the {what}: {have}", field=what)


def _dtype(described: str) -> str:
    """`tensor(int64)` as numpy names it."""
    word = described.removeprefix("tensor(").removesuffix(")")
    return DTYPES.get(word) or np.dtype(word).name
