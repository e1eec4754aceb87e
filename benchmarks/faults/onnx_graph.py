"""ONNX files as graphs that faults can be put into; runs in the toolchain `onnx`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.faults.graph import Array, Graph, Node, Setting

KINDS = {
    "Conv": "conv",
    "ConvTranspose": "conv_transpose",
    "Gemm": "linear",
    "MatMul": "matmul",
    "Sub": "sub",
    "Div": "div",
    "Pow": "pow",
    "Concat": "concat",
    "Slice": "slice",
    "Gather": "gather",
    "LSTM": "lstm",
    "GRU": "gru",
    "Cast": "cast",
    "Clip": "clip",
    "Max": "maximum",
    "Add": "add",
    "Identity": "cast",
}
ALIKE = {
    "Relu": ("LeakyRelu", "Elu"),
    "HardSwish": ("Relu",),
    "HardSigmoid": ("Sigmoid",),
    "Sigmoid": ("HardSigmoid",),
    "Tanh": ("Softsign", "Erf"),
    "Erf": ("Tanh",),
    "Elu": ("Relu", "Selu"),
    "Softplus": ("Relu",),
}


class OnnxGraph(Graph):
    """An `.onnx` file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._model = onnx.load(path)
        self._graph = self._model.graph
        self._stored: dict[str, Any] = {}
        for tensor in self._graph.initializer:
            self._stored[tensor.name] = tensor
        for native in self._graph.node:
            if native.op_type == "Constant":
                self._stored[native.output[0]] = _attribute(native, "value").t
                continue
            kind = KINDS.get(native.op_type, native.op_type.lower())
            name = native.name or native.output[0]
            self.nodes.append(Node(name, kind, list(native.input), list(native.output), native))
        self.constants = {name: numpy_helper.to_array(t) for name, t in self._stored.items()}
        self.outputs = [output.name for output in self._graph.output]
        inferred = onnx.shape_inference.infer_shapes(self._model, data_prop=True).graph
        values = [*inferred.value_info, *inferred.input, *inferred.output]
        self._shapes = {v.name: _shape(v) for v in values}

    def save(self, path: Path) -> None:
        onnx.save(self._model, path)

    def put(self, name: str, array: Array) -> None:
        self._stored[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))

    def swap(self, node: Node, first: int, second: int) -> None:
        given = node.native.input
        given[first], given[second] = given[second], given[first]

    def drop(self, node: Node, place: int) -> None:
        if node.kind == "add":  # What is left of a sum without its constant.
            kept = node.native.input[1 - place]
            node.native.op_type = "Identity"
            del node.native.input[:]
            node.native.input.append(kept)
        else:
            node.native.input[place] = ""

    def epsilon(self, node: Node) -> Setting[float] | None:
        found = _attribute(node.native, "epsilon")
        change = partial(_set, node.native, "epsilon")
        if found is None and node.native.op_type in ("LayerNormalization", "InstanceNormalization"):
            return Setting(1e-5, change)  # The operator's default.
        return None if found is None else Setting(float(found.f), change)

    def pads(self, node: Node) -> Setting[list[int]] | None:
        found = _attribute(node.native, "pads")
        if found is None:
            return None
        return Setting(list(found.ints), partial(_set, node.native, "pads"))

    def activations(self, node: Node) -> Mapping[str, Callable[[], None]]:
        found = {n: partial(self._become, node, n) for n in ALIKE.get(node.native.op_type, ())}
        if node.kind == "clip" and float(self.constants.get(node.inputs[-1], np.zeros(()))) == 6:
            found["relu"] = partial(self._unclipped, node)
        return found

    def windows(self, node: Node) -> Mapping[str, Callable[[], None]]:
        if node.kind == "gather":
            index = self.constants.get(node.inputs[1])
            # Rows of a constant are words of a vocabulary.
            if index is None or index.size != 1 or node.inputs[0] in self.constants:
                return {}
            at = int(index)
            other = at - 1 if at else 1
            text = f"index {other} in place of {at}"
            return {text: partial(self._replaced, node, {1: np.full_like(index, other)})}
        bounds = [self.constants.get(name) for name in node.inputs[1:4]]
        if len(bounds) < 3 or any(b is None or b.size != 1 for b in bounds):
            return {}
        start, end, axis = (int(b.reshape(-1)[0]) for b in bounds if b is not None)
        size = (self._shapes.get(node.inputs[0]) or {}).get(axis)
        found = {}
        for step in (1, -1):
            one, other = start + step, end + step
            fits = (
                one >= 0 and size is not None and 0 < other <= size if end > 0 else one < other < 0
            )
            if start >= 0 > end or not fits:
                continue
            given = {1: np.full_like(bounds[0], one), 2: np.full_like(bounds[1], other)}
            text = f"from {one} to {other} in place of {start} to {end} on axis {axis}"
            found[text] = partial(self._replaced, node, given)
        return found

    def before_flattening(self) -> Iterator[tuple[Node, Callable[[], None]]]:
        for node in self.nodes:
            if node.native.op_type in ("Flatten", "Reshape"):
                before = self._shapes.get(node.inputs[0], {})
                after = self._shapes.get(node.outputs[0], {})
                if len(before) == 4 and len(after) == 2 and (before[1] or 0) > 1:
                    yield node, partial(self._transposed, node)

    def swap_outputs(self, first: int, second: int) -> None:
        names = {
            self.outputs[first]: self.outputs[second],
            self.outputs[second]: self.outputs[first],
        }
        for native in self._graph.node:
            for given in (native.input, native.output):
                for place, name in enumerate(given):
                    given[place] = names.get(name, name)
        # Their types go with the values.
        kinds = [onnx.TypeProto(), onnx.TypeProto()]
        kinds[0].CopyFrom(self._graph.output[second].type)
        kinds[1].CopyFrom(self._graph.output[first].type)
        self._graph.output[first].type.CopyFrom(kinds[0])
        self._graph.output[second].type.CopyFrom(kinds[1])

    def _become(self, node: Node, name: str) -> None:
        node.native.op_type = name
        del node.native.attribute[:]

    def _unclipped(self, node: Node) -> None:
        node.native.op_type = "Relu"
        del node.native.input[1:]

    def _replaced(self, node: Node, given: Mapping[int, Array]) -> None:
        """Inputs of constants of their own: others may share the old ones."""
        for place, array in given.items():
            name = f"{node.name}_fault_{place}"
            self._graph.initializer.append(numpy_helper.from_array(array, name))
            node.native.input[place] = name

    def _transposed(self, node: Node) -> None:
        name = f"{node.name}_fault"
        made = helper.make_node("Transpose", [node.inputs[0]], [name], name, perm=[0, 2, 3, 1])
        at = next(
            i for i, native in enumerate(self._graph.node) if list(native.output) == node.outputs
        )
        self._graph.node.insert(at, made)
        next(n for n in self._graph.node if n.output[0] == node.outputs[0]).input[0] = name


def _attribute(native: Any, name: str) -> Any:
    return next((a for a in native.attribute if a.name == name), None)


def _set(native: Any, name: str, value: Any) -> None:
    kept = [a for a in native.attribute if a.name != name]
    del native.attribute[:]
    native.attribute.extend([*kept, helper.make_attribute(name, value)])


def _shape(value: Any) -> dict[int, int | None]:
    """Sizes by axis; `None` where a size varies."""
    dims = value.type.tensor_type.shape.dim
    return {
        axis: dim.dim_value if dim.HasField("dim_value") else None for axis, dim in enumerate(dims)
    }
