"""`float16`: weights and arithmetic in 16 bits, inputs and outputs as they are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

from ...kit.protocol.request import Request, StepError
from . import positions
from .compact import every_node

FIELD = "quantization"
LARGEST = float(np.finfo(np.float16).max)
MATRIX = 2
UP, DOWN = "_cast_to_fp32", "_cast_to_fp16"
"""What the converter adds to the names of what its casts give, and read."""
LOADING = """
import sys, onnxruntime
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
"""
EXCEPTION = 1
"""Python's exit status where ONNX Runtime refuses a file in words, which are asked for later."""


def convert(model: Any, nodes: Collection[str], request: Request) -> Any:
    """Makes these nodes compute in float16; casts stand where others meet them.

    Raises:
        StepError: The converter fails on the model.
    """
    exact = positions.exact(model).intersection(nodes)
    if exact:
        request.note(f"{len(exact)} operators stay float32: they compute on positions")
    kept = [node.name for node in model.graph.node if node.name not in nodes or node.name in exact]
    _tell_overflow(model, set(kept), request)
    crashing = _crashing(model, nodes)
    if crashing:
        request.note(
            f"{len(crashing)} Transpose between float16 operators stay float32: ONNX Runtime crashes "
            "on them on x86 (microsoft/onnxruntime#28392)"
        )
    kept += crashing
    try:
        made = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
    except Exception as error:
        raise StepError(
            f"ONNX Runtime's converter to float16 fails: {type(error).__name__}: {error}",
            "keep the operator that it names in float: `keep_float`",
            FIELD,
        ) from error
    _unite_casts(made.graph)
    ONNXModel(made).topological_sort()
    del made.graph.value_info[:]
    return made


def check_survived(path: Path) -> None:
    """Loads a file in a process of its own.

    Raises:
        StepError: The process died: there are more ways to what `_crashing` knows than it sees, such as
            transposes that ONNX Runtime makes one of.
    """
    loading = [sys.executable, "-s", "-P", "-c", LOADING, str(path)]
    done = subprocess.run(loading, capture_output=True, check=False)
    if done.returncode not in (0, EXCEPTION):
        raise StepError(
            f"ONNX Runtime crashes as it loads the model in float16 (status {done.returncode}): it "
            "mixes up casts and transposes (microsoft/onnxruntime#28392)",
            'keep the transposes in float32: `keep_float: ["type:Transpose"]`',
            "quantization.keep_float",
        )


def _crashing(model: Any, nodes: Collection[str]) -> list[str]:
    """Transposes that kill ONNX Runtime in float16 when it loads the file on an x86 processor.

    They move the first axis behind others and stand before a matrix product, as after a recurrent
    layer. The runtime has no such product in float16, changes the order of its cast and the transpose
    to fuse the latter, and does not when it comes to that; what it has put there is not looked up by
    then, and a later pass reads through a null pointer (microsoft/onnxruntime#28392, in 1.31 as well).
    """
    readers = _readers(model)
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Transpose"
        and node.name in nodes
        and _moves_the_first(next((list(a.ints) for a in node.attribute if a.name == "perm"), []))
        and any(reader.op_type == "MatMul" for reader in readers.get(node.output[0], ()))
    ]


def _moves_the_first(axes: Sequence[int]) -> bool:
    """Whether batches of matrices are made of the second axis on: [1, 2, 0, 3] or [1, 2, 3, 0]."""
    rest = list(range(1, len(axes)))
    return len(axes) > MATRIX and list(axes) in ([*rest[:-1], 0, rest[-1]], [*rest, 0])


def _unite_casts(graph: Any) -> None:
    """Leaves one of the casts that the converter writes for each reader of a tensor, by one name.

    Between two operators that stay in float32 it writes one down and one up again: those go, too, or
    what was kept would be rounded all the same.
    """
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    instead = {
        name: casts[node.input[0]].input[0]
        for name, node in casts.items()
        if name == node.input[0] + UP
        and casts.get(node.input[0], node).input[0] == node.input[0] + DOWN
    }
    for node in every_node(graph):
        for place, name in enumerate(node.input):
            node.input[place] = instead.get(name, name)
    read = {name for node in every_node(graph) for name in node.input}
    read |= {value.name for value in graph.output}
    given: set[str] = set()
    kept = []
    for node in graph.node:
        ours = node.op_type == "Cast" and (
            node.output[0].endswith(UP) or node.input[0].endswith(DOWN)
        )
        if not ours or (node.output[0] in read and node.output[0] not in given):
            kept.append(node)
        given.update(node.output)
    del graph.node[:]
    graph.node.extend(kept)


def _readers(model: Any) -> dict[str, list[Any]]:
    """Name of a value of the main graph to the nodes that read it."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _tell_overflow(model: Any, kept: set[str], request: Request) -> None:
    readers = _readers(model)
    for tensor in model.graph.initializer:
        names = {node.name for node in readers.get(tensor.name, ())}
        if tensor.data_type != onnx.TensorProto.FLOAT or names <= kept:
            continue
        most = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
        if most > LARGEST:
            request.note(
                f"`{tensor.name}` holds {most:g}, beyond float16: it becomes {LARGEST:g} there; "
                "`keep_float` keeps it"
            )
