"""Simplifies a graph by the passes of ONNX Runtime that know no machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from .. import canonical, graph, runtime
from . import agreement

STANDARD = frozenset({"", "ai.onnx"})
FIELD = "options.simplify"


def simplify(request: Request) -> None:
    """Folds constants, drops what has no effect, and merges pairs of standard operators.

    Inputs: `artifact`, `io`. Options: `ports`.

    Raises:
        StepError: The result would not be the same model, or no standard ONNX.
    """
    source = request.inputs["artifact"]
    contract = Contract.read(request.inputs["io"])
    before, model = onnx.load(source), basic(source, request.scratch / "basic.onnx")
    strange = domains(model) - domains(before)
    if strange:
        raise StepError(
            f"`simplify` would bring in operators that only ONNX Runtime has ({', '.join(strange)})",
            "leave `simplify` out for this model",
            FIELD,
        )
    finish(model, contract, request)
    agreement.check(source, request.outputs["artifact"], contract, request, FIELD)
    had, has = (sum(operators(each).values()) for each in (before, model))
    if has < had:
        request.note(f"simplified: {has} operators instead of {had}")
    else:
        request.note(f"`simplify` found nothing to simplify: {has} operators as before")


def basic(source: Path, scratch: Path, without: Sequence[str] = ()) -> Any:
    """A graph after the runtime's basic passes, which give standard operators on every machine.

    Args:
        source: The file.
        scratch: Where the runtime may write.
        without: Names of passes to leave out.

    Raises:
        StepError: ONNX Runtime refuses the file.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(scratch)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = runtime.ERRORS_ONLY
    try:
        onnxruntime.InferenceSession(
            source, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without)
        )
    except Exception as error:
        version = onnxruntime.__version__
        raise StepError(f"onnxruntime {version} does not load the file: {error}") from error
    return onnx.load(scratch)


def finish(model: Any, contract: Contract, request: Request) -> None:
    """Checks a rewritten graph against the contract, and writes it."""
    used = domains(model)
    imports = [o for o in model.opset_import if o.domain in used | STANDARD]
    del model.opset_import[:]  # The runtime lists every domain that it knows.
    model.opset_import.extend(imports)
    graph.check_names(model, contract)
    graph.declare_outputs(model, contract)
    canonical.save(model, request.outputs["artifact"])
    contract.write(request.outputs["io"])


def operators(model: Any) -> Counter[str]:
    """How often each operator occurs, branches and functions included."""
    return Counter(node.op_type for node in _nodes(model))


def domains(model: Any) -> set[str]:
    """Domains of operators, beside the standard one."""
    return {node.domain for node in _nodes(model)} - STANDARD


def _nodes(model: Any) -> Iterator[Any]:
    waiting = [*model.graph.node, *(node for f in model.functions for node in f.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            waiting += [*attribute.g.node, *(n for each in attribute.graphs for n in each.node)]
