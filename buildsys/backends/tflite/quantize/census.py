"""Counts what a TFLite file is made of: operators, types of tensors, types of weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import prod
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from ..buffers import is_behind


def _names(kind: type) -> dict[int, str]:
    return {value: name for name, value in vars(kind).items() if isinstance(value, int)}


_OPERATORS = _names(schema.BuiltinOperator)
_TYPES = _names(schema.TensorType)
_FLOATS = ("FLOAT16", "FLOAT32")
_INTEGERS = ("INT8", "INT4")


@dataclass
class Census:
    """What a file holds.

    Attributes:
        operators: Operator to how many; a custom operator by its own name.
        custom: Names of operators that are not built into the runtime, among them TensorFlow's
            own (`Flex...`).
        tensors: Type to number of tensors.
        weights: Type to number of elements of constant tensors, those of integers that are not
            weights (shapes, indices, biases of static quantization) left out.
    """

    operators: Counter[str] = field(default_factory=Counter)
    custom: set[str] = field(default_factory=set)
    tensors: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)

    def share(self, *types: str) -> float:
        """Part of the weights that is of these types, from 0 to 1."""
        total = sum(self.weights.values())
        return sum(self.weights[kind] for kind in types) / total if total else 0.0


def operator_name(code: Any) -> str:
    """An entry of a file's table of operators; a custom operator by its own name."""
    name = _OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return code.customCode.decode() if name == "CUSTOM" else name


def census(model: bytes) -> Census:
    """Reads a file's own tables; nothing is run."""
    found = Census()
    root = schema.ModelT.InitFromPackedBuf(model, 0)
    names = [operator_name(code) for code in root.operatorCodes]
    found.custom = set(names) - set(_OPERATORS.values())
    stored: set[tuple[int, str]] = set()
    for graph in root.subgraphs:
        found.operators.update(names[operator.opcodeIndex] for operator in graph.operators)
        for tensor in graph.tensors:
            kind = _TYPES[tensor.type]
            found.tensors[kind] += 1
            buffer = root.buffers[tensor.buffer]
            held = is_behind(buffer) or (buffer.data is not None and len(buffer.data))
            # A buffer that several tensors or graphs share is one weight.
            if not held or (tensor.buffer, kind) in stored:
                continue
            stored.add((tensor.buffer, kind))
            if kind in (*_FLOATS, *_INTEGERS):
                shape = tensor.shape if tensor.shape is not None else ()
                found.weights[kind] += prod(int(n) for n in shape)
    return found
