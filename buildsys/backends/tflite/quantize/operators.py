"""The operators of a TFLite file, as recipes name them and as the quantizer does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import qtyping
from ai_edge_quantizer.utils import tfl_flatbuffer_utils

from .census import operator_name

WEIGHT_AXES = 2
"""The least number of axes of what counts as a weight."""
ROWS = (qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.EMBEDDING_LOOKUP)
"""What can have a scale for some weights of a row."""


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        scope: What the quantizer's expressions are tried on: the names of all that it gives.
        names: The same, one by one: what recipes' globs are tried on.
        type: The format's word: `CONV_2D`.
        key: The quantizer's own word; `None` for what it does not know.
        row: Length of a row of its weights, where they have rows.
        reads: Names of the tensors that it reads and that are computed.
        gives: Names of the tensors that it gives.
        weighted: Whether it reads weights: constants of two axes or more, in floating point.
    """

    scope: str
    names: tuple[str, ...]
    type: str
    key: qtyping.TFLOperationName | None
    row: int | None
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    weighted: bool

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.scope.rstrip(";")


def operators(model: bytes) -> list[Operator]:
    """All operators of all graphs of a file, in their order."""
    root = tfl_flatbuffer_utils.read_model(model)
    return [found for graph in root.subgraphs for found in _of_graph(root, graph)]


def _of_graph(root: Any, graph: Any) -> list[Operator]:
    constant = {
        index
        for index, tensor in enumerate(graph.tensors)
        if tfl_flatbuffer_utils.get_tensor_data(tensor, root.buffers) is not None
    }
    found = []
    for operator in graph.operators:
        code = root.operatorCodes[operator.opcodeIndex]
        key = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME.get(code.builtinCode)
        scope = tfl_flatbuffer_utils.get_op_scope(operator, graph.tensors)
        inputs = [int(index) for index in operator.inputs if index >= 0]
        outputs = [int(index) for index in operator.outputs if index >= 0]
        found.append(
            Operator(
                scope,
                tuple(scope.rstrip(";").split(";")),
                operator_name(code),
                key,
                _row(graph, operator) if key in ROWS else None,
                _names(graph, [index for index in inputs if index not in constant]),
                _names(graph, outputs),
                any(_weight(graph.tensors[index]) for index in inputs if index in constant),
            )
        )
    return found


def _weight(tensor: Any) -> bool:
    """Biases and gains have one axis; indices and shapes are integers."""
    axes = 0 if tensor.shape is None else sum(int(size) > 1 for size in tensor.shape)
    return axes >= WEIGHT_AXES and tensor.type == schema.TensorType.FLOAT32


def _names(graph: Any, indices: Sequence[int]) -> tuple[str, ...]:
    return tuple(tfl_flatbuffer_utils.get_tensor_name(graph.tensors[index]) for index in indices)


def _row(graph: Any, operator: Any) -> int | None:
    """Of both operators the second input is a matrix with a row an output, or an entry."""
    shape = graph.tensors[operator.inputs[1]].shape
    return int(shape[-1]) if shape is not None and len(shape) else None
