"""What its own precision costs an ONNX file, and what float16 would; why: see `torch/precision/floor.py`.

The file is run as the reference is, by ONNX's reference evaluator in float64, by ONNX Runtime once more
with what each operator gives rounded to float16, and as the reference with its weights alone rounded.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference.op_run import OpRun

from ...kit.protocol import arrays
from ...kit.protocol.cause import first_lines
from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request
from ...kit.run import batches
from ...kit.run.signals import signal_errors
from .. import runtime
from . import original, precisions

PRECISIONS = ("float32", "float16", "float16 weights")
SAMPLES = 8
"""The reference evaluator is slow, and rounding is an average over all elements of an output."""


class MaxPool(OpRun):  # type: ignore[misc]
    """The pool in ONNX Runtime, which has it for float64; the reference evaluator's is a loop in Python."""

    op_domain = ""

    def _run(self, x: NDArray[Any], **_: Any) -> tuple[NDArray[Any], ...]:
        node = self.onnx_node
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            [node],
            "pool",
            [value(node.input[0], helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
            [value(node.output[0], helper.np_dtype_to_tensor_dtype(x.dtype), None)]
            + [value(name, TensorProto.INT64, None) for name in node.output[1:]],
        )
        opset = [helper.make_opsetid("", self.run_params["opsets"][""])]
        made = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
        session = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
        return tuple(session.run(None, {node.input[0]: x}))


def floor(request: Request) -> None:
    """Writes `floor` (`floor.json`): by precision and output its `signal_error`, or the `reason` for none.

    Inputs: `samples`, `artifact`, `io`. Options: `ports`, `outputs`.

    Raises:
        StepError: Nothing runs the file.
    """
    contract = Contract.read(request.inputs["io"])
    names: list[str] = request.options["outputs"]
    ports: list[dict[str, Any]] = request.options["ports"]
    drawn = arrays.load(request.inputs["samples"])
    feeds = {port["name"]: drawn[port["name"]][:SAMPLES] for port in ports}
    plan = batches.plan(ports, None, True)
    model = onnx.load(request.inputs["artifact"])

    def run(make: Callable[[], batches.Run], word: str) -> arrays.Arrays | str:
        try:
            return batches.run(make(), feeds, plan, names).outputs
        except Exception as error:  # Whatever numpy raises where an operator gets other types.
            return f"the original does not run in {word}: {first_lines(error, 1)[:300]}"

    record: dict[str, Any] = {"samples": len(next(iter(feeds.values())))}
    reason = precisions.refusal(model)
    if reason is None:
        own = original.load(request.inputs["artifact"], contract, request.threads)
        ours = batches.run(own.run, feeds, plan, names).outputs
        exact = run(lambda: _exact(model, contract), "float64")
        half = run(lambda: _half(model, contract, request.threads), "float16")
        narrow = run(lambda: _rounded_weights(model, contract, request), "float16")
        found = (ours, half, narrow)
        errors = (signal_errors(each, exact, names) for each in found)
        record |= dict(zip(PRECISIONS, errors, strict=True))
    else:
        record |= {word: {n: {"reason": reason} for n in names} for word in PRECISIONS}
    request.outputs["floor"].write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def _exact(model: Any, contract: Contract) -> batches.Run:
    """What runs a graph in float64."""
    evaluated = original.evaluator(precisions.exact(model), MaxPool)
    ports = [port.artifact_name or port.name for port in contract.outputs]

    def run(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        fed = {
            port.artifact_name or port.name: _cast(feed[port.name], np.float64)
            for port in contract.inputs
        }
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = evaluated.run(ports, fed)
        return {p.name: np.asarray(f) for p, f in zip(contract.outputs, found, strict=True)}

    return run


def _rounded_weights(model: Any, contract: Contract, request: Request) -> batches.Run:
    """What runs a graph with its weights rounded to float16, as the reference is run."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    precisions.round_weights(made)
    path = request.scratch / "narrow.onnx"
    onnx.save(made, path)
    return original.load(path, contract, request.threads).run


def _half(model: Any, contract: Contract, threads: int) -> batches.Run:
    """What runs a graph that rounds to float16."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = runtime.ERRORS_ONLY
    # Else it would take out the pairs of casts.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    made = precisions.rounding(model).SerializeToString()
    session = onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])
    own = runtime.Session(session, contract)

    def run(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        rounded = {
            name: _cast(_cast(array, np.float16), array.dtype) for name, array in feed.items()
        }
        return own.run(rounded)

    return run


def _cast(array: NDArray[Any], kind: Any) -> NDArray[Any]:
    return array.astype(kind) if array.dtype.kind == "f" else array
