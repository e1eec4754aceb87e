"""The module that an ONNX model becomes: what constants decide is computed once, the rest when it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import AttributeProto, helper, numpy_helper
from torch import nn

from . import elementwise, indexing, pooling, products, recurrent, reductions, resizing, shaping
from .table import OPERATORS, Call, Operator, Unsupported

TABLES = (elementwise, indexing, pooling, products, recurrent, reductions, resizing, shaping)
"""The modules that fill the table."""
STANDARD = ("", "ai.onnx")


@dataclass(frozen=True)
class Step:
    """One node that is computed when the module runs.

    Attributes:
        node: Its name, for messages.
        call: The node.
        operator: How it is computed.
        arguments: Names of values; `None` for those that are left out or static.
        prepared: Whether the weights among them are in torch's form already.
        outputs: Names of what it gives.
    """

    node: str
    call: Call
    operator: Operator
    arguments: tuple[str | None, ...]
    prepared: bool
    outputs: tuple[str, ...]

    def run(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Computes the node."""
        tensors = [None if name is None else values[name] for name in self.arguments]
        if self.operator.prepare is not None and not self.prepared:
            tensors = _prepared(self.operator, self.call, tensors)
        found = self.operator.run(self.call, *tensors)
        return tuple(found) if isinstance(found, tuple | list) else (found,)


def _prepared(operator: Operator, call: Call, tensors: Sequence[Any]) -> list[Any]:
    """Arguments with the weights as torch has them in place of the three that ONNX has."""
    assert operator.prepare is not None
    start, end = operator.weights, operator.weights + 3
    return [*tensors[:start], *operator.prepare(call, *tensors[start:end]), *tensors[end:]]


class Network(nn.Module):  # type: ignore[misc]  # On the host there is no torch to check by.
    """An ONNX graph at fixed sizes.

    Args:
        model: The ONNX model, with weights; its names of inputs and outputs are taken.
        example: Input name to an array of the sizes that are to be fixed.

    Raises:
        Unsupported: It has an operator without a counterpart.
    """

    def __init__(self, model: Any, example: Mapping[str, NDArray[Any]]) -> None:
        super().__init__()
        weights = {tensor.name for tensor in model.graph.initializer}
        self.inputs = [value.name for value in model.graph.input if value.name not in weights]
        self.outputs = [value.name for value in model.graph.output]
        self.weights = nn.Module()
        self._places: dict[str, str] = {}
        self._steps: list[Step] = []
        with torch.no_grad():
            self._build(model, example)
        self.eval()

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Computes all outputs, in the model's order, of all inputs in theirs."""
        values: dict[str, Any] = dict(zip(self.inputs, inputs, strict=True))
        for name, place in self._places.items():
            values[name] = getattr(self.weights, place)
        for step in self._steps:
            values.update(zip(step.outputs, step.run(values), strict=False))
        return tuple(values[name] for name in self.outputs)

    def _build(self, model: Any, example: Mapping[str, NDArray[Any]]) -> None:
        """Runs the model once on the example, to know sizes, and what does not depend on the inputs."""
        opset = next((o.version for o in model.opset_import if o.domain in STANDARD), 1)
        known = {t.name: _tensor(numpy_helper.to_array(t)) for t in model.graph.initializer}
        seen: dict[str, Any] = {n: _tensor(example[n]) for n in self.inputs}
        for node in model.graph.node:
            if node.op_type == "Constant":
                known[node.output[0]] = _tensor(_constant(node))
            elif node.op_type in ("Shape", "Size"):
                known[node.output[0]] = _size(node, {**known, **seen}[node.input[0]])
            else:
                self._add(node, opset, known, seen)
        self._keep(known)

    def _add(self, node: Any, opset: int, known: dict[str, Any], seen: dict[str, Any]) -> None:
        operator = OPERATORS.get(node.op_type) if node.domain in STANDARD else None
        if operator is None:
            domain = f" of `{node.domain}`" if node.domain not in STANDARD else ""
            raise Unsupported(
                f"the operator `{node.op_type}`{domain} has no counterpart in torch here"
            )
        call = _call(node, opset, operator, known)
        names = [
            None if not name or place in operator.static else name
            for place, name in enumerate(node.input)
        ]
        prepared = False
        start = operator.weights
        if operator.prepare is not None and all(n in known for n in names[start : start + 3] if n):
            held = [None if n is None else known[n] for n in names[start : start + 3]]
            parts = [f"{node.output[0] or node.name}/weight_{i}" for i in range(8)]
            made = dict(zip(parts, operator.prepare(call, *held), strict=False))
            known.update(made)
            names = [*names[:start], *made, *names[start + 3 :]]
            prepared = True
        outputs = tuple(node.output)
        step = Step(node.name or outputs[0], call, operator, tuple(names), prepared, outputs)
        try:
            found = step.run({**known, **seen})
        except Unsupported:
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise Unsupported(
                f"`{node.op_type}` at `{step.node}` does not run in torch: {said}"
            ) from error
        given = dict(zip(outputs, found, strict=False))
        if all(name is None or name in known for name in names):
            known.update(given)
        else:
            seen.update(given)
            self._steps.append(step)

    def _keep(self, known: Mapping[str, Any]) -> None:
        """Keeps the known values that a step or an output takes, as parameters and buffers."""
        used = [name for step in self._steps for name in step.arguments if name in known]
        used += [name for name in self.outputs if name in known]
        for name in dict.fromkeys(used):
            if name is None:
                continue
            place = _place(name, self._places.values())
            self._places[name] = place
            tensor = known[name].detach().clone(memory_format=torch.contiguous_format)
            if tensor.is_floating_point():
                setattr(self.weights, place, nn.Parameter(tensor, requires_grad=False))
            else:
                self.weights.register_buffer(place, tensor)


def _place(name: str, taken: Any) -> str:
    """A name for an attribute that no other weight has."""
    safe = re.sub(r"\W", "_", name)
    place = safe if re.match(r"[A-Za-z]", safe) else f"w_{safe}"
    number = 2
    found = place
    while found in taken:
        found, number = f"{place}_{number}", number + 1
    return found


def _tensor(array: Any) -> Any:
    """An array as a tensor of its own.

    Raises:
        Unsupported: Torch has no such type.
    """
    try:
        return torch.from_numpy(np.array(array))
    except TypeError as error:
        raise Unsupported(f"torch has no element type {np.asarray(array).dtype}") from error


def _constant(node: Any) -> NDArray[Any]:
    (attribute,) = node.attribute
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return np.asarray(numpy_helper.to_array(value))
    kinds: dict[str, Any] = {"value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in ("value_float", "value_floats", *kinds):
        raise Unsupported(f"a `Constant` of `{attribute.name}` has no counterpart in torch")
    return np.array(value, kinds.get(attribute.name, np.float32))


def _size(node: Any, tensor: Any) -> Any:
    if node.op_type == "Size":
        return torch.tensor(tensor.numel())
    ends = {attribute.name: attribute.i for attribute in node.attribute}
    return torch.tensor(
        list(tensor.shape)[ends.get("start", 0) : ends.get("end")], dtype=torch.int64
    )


def _call(node: Any, opset: int, operator: Operator, known: Mapping[str, Any]) -> Call:
    attributes = {}
    for attribute in node.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            raise Unsupported(f"`{node.op_type}` at `{node.name}` has no counterpart in torch here")
        value = helper.get_attribute_value(attribute)
        tensor = attribute.type == AttributeProto.TENSOR
        attributes[attribute.name] = numpy_helper.to_array(value) if tensor else value
    static = {}
    for place in operator.static:
        name = node.input[place] if place < len(node.input) else ""
        if not name:
            continue
        if name not in known:
            raise Unsupported(
                f"`{node.op_type}` at `{node.name or node.output[0]}` takes sizes or places that depend on "
                "the inputs' values"
            )
        static[place] = known[name].numpy()
    used = max((i + 1 for i, name in enumerate(node.output) if name), default=1)
    return Call(node.op_type, opset, attributes, used, static)
