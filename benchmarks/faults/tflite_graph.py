"""TFLite files as graphs that faults can be put into; runs in the toolchain `tflite`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.faults.graph import Array, Graph, Node, Setting

OPERATORS = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
KINDS = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "conv",
    "TRANSPOSE_CONV": "conv_transpose",
    "FULLY_CONNECTED": "linear",
    "BATCH_MATMUL": "matmul",
    "CONCATENATION": "concat",
    "DEQUANTIZE": "cast",
}
TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.BOOL: np.bool_,
}
FUSED = {
    schema.ActivationFunctionType.RELU: {"relu6": 3, "no activation": 0},
    schema.ActivationFunctionType.RELU6: {"relu": 1},
}
ALIKE = {"HARD_SWISH": "RELU", "TANH": "LOGISTIC", "LOGISTIC": "TANH", "RELU": "RELU6"}
SMALL = 1e-2
"""An epsilon is below this."""
GATES = 4
"""An LSTM comes unrolled: its linear layers give all gates side by side, and slices take them apart."""
IDENTIFIER = b"TFL3"


class TFLiteGraph(Graph):
    """The main graph of a `.tflite` file. Tensors are named by their index, since names may repeat."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        self._graph = self._model.subgraphs[0]
        codes = [max(c.builtinCode, c.deprecatedBuiltinCode) for c in self._model.operatorCodes]
        for native in self._graph.operators:
            word = OPERATORS[codes[native.opcodeIndex]]
            native.inputs = places = [int(i) for i in native.inputs]
            if word == "TRANSPOSE_CONV":  # Shape, weight, x and maybe a bias.
                places = [places[2], places[1], *places[3:]]
            inputs = [self._name(i) if i >= 0 else "" for i in places]
            outputs = [self._name(int(i)) for i in native.outputs]
            native.word = word
            kind = KINDS.get(word, word.lower())
            self.nodes.append(Node(outputs[0], kind, inputs, outputs, native))
        for index, tensor in enumerate(self._graph.tensors):
            data = self._model.buffers[tensor.buffer].data
            if data is None or not len(data) or tensor.type not in TYPES:
                continue
            shape = [int(n) for n in tensor.shape] if tensor.shape is not None else []
            array = np.asarray(data, np.uint8).tobytes()
            name = self._name(index)
            self.constants[name] = np.frombuffer(array, TYPES[tensor.type]).reshape(shape)
        self.outputs = [o.name.decode() for o in self._model.signatureDefs[0].outputs]

    def save(self, path: Path) -> None:
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), IDENTIFIER)
        path.write_bytes(bytes(builder.Output()))

    def put(self, name: str, array: Array) -> None:
        tensor = self._tensor(name)
        data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self._model.buffers[tensor.buffer].data = data

    def swap(self, node: Node, first: int, second: int) -> None:
        given = node.native.inputs
        given[first], given[second] = given[second], given[first]

    def epsilon(self, node: Node) -> Setting[float] | None:
        """Of a sum below a root: norms come as their parts."""
        found = self._epsilon(node)
        if found is None:
            return None
        held = self.constants[found]
        value = float(held.reshape(-1)[0])
        return Setting(value, lambda other: self.put(found, np.full_like(held, other)))

    def pads(self, node: Node) -> Setting[list[int]] | None:
        if node.kind != "pad" or node.inputs[1] not in self.constants:
            return None
        pairs = self.constants[node.inputs[1]]
        both = [int(n) for n in (*pairs[:, 0], *pairs[:, 1])]
        return Setting(both, partial(self._set_pads, node))

    def _set_pads(self, node: Node, pads: list[int]) -> None:
        half = len(pads) // 2
        old = self.constants[node.inputs[1]]
        self._replaced(node, 1, np.array([pads[:half], pads[half:]], old.dtype).T)

    def activations(self, node: Node) -> Mapping[str, Callable[[], None]]:
        options = node.native.builtinOptions
        fused = FUSED.get(getattr(options, "fusedActivationFunction", 0), {})
        found: dict[str, Callable[[], None]] = {
            name: partial(setattr, options, "fusedActivationFunction", value)
            for name, value in fused.items()
        }
        if node.kind == "gelu" and not options.approximate:
            found["gelu by tanh"] = partial(setattr, options, "approximate", True)
        other = ALIKE.get(node.native.word)
        if other is not None:
            found[other.lower()] = partial(self._become, node, other)
        return found

    def windows(self, node: Node) -> Mapping[str, Callable[[], None]]:
        if node.kind != "slice":
            return {}
        begin, size = (self.constants.get(name) for name in node.inputs[1:3])
        shape = self._tensor(node.inputs[0]).shape
        if begin is None or size is None:
            return {}
        found = {}
        for axis, whole in enumerate(shape):
            taken = int(size[axis]) if size[axis] >= 0 else int(whole - begin[axis])
            for step in (-1, 1):
                start = int(begin[axis]) + step
                if start >= 0 and start + taken <= whole:
                    moved = begin.copy()
                    moved[axis] = start
                    text = f"from {start} in place of {int(begin[axis])} on axis {axis}"
                    found[text] = partial(self._replaced, node, 1, moved)
        return found

    def before_flattening(self) -> Iterator[tuple[Node, Callable[[], None]]]:
        """A transpose to [N, C, H, W] stands before it: without it, it flattens [N, H, W, C]."""
        for node in self.nodes:
            if node.kind != "transpose" or self.constants[node.inputs[1]].tolist() != [0, 3, 1, 2]:
                continue
            users = [use.node for use in self.users(node.outputs[0])]
            if users and all(
                user.kind == "reshape" and len(self._tensor(user.outputs[0]).shape) == 2
                for user in users
            ):
                identity = np.arange(4, dtype=np.int32)
                yield users[0], partial(self._replaced, node, 1, identity)

    def swap_outputs(self, first: int, second: int) -> None:
        given = self._model.signatureDefs[0].outputs
        one, other = given[first], given[second]
        one.tensorIndex, other.tensorIndex = other.tensorIndex, one.tensorIndex

    def gates(self, node: Node) -> int:
        if node.kind != "linear" or len(node.inputs) < 2 or node.inputs[1] not in self.constants:
            return 0
        rows = self.constants[node.inputs[1]].shape[0]
        tensors = list(node.outputs)
        for _ in range(3):
            uses = [use.node for tensor in tensors for use in self.users(tensor)]
            slices = [n for n in uses if n.kind == "slice"]
            widths = {int(self._tensor(n.outputs[0]).shape[-1]) for n in slices}
            if len(slices) >= GATES and widths == {rows // GATES}:
                return GATES
            tensors = [o for n in uses if n.kind in ("add", "reshape", "slice") for o in n.outputs]
        return 0

    def scales(self) -> Iterator[tuple[str, str, Callable[[float], None]]]:
        for node in self.nodes:
            if node.kind in ("conv", "linear", "add"):
                tensor = self._tensor(node.outputs[0])
                given = tensor.quantization.scale if tensor.quantization is not None else None
                if given is not None and len(given) == 1:
                    yield node.name, node.outputs[0], partial(self._multiply, node.outputs[0])

    def _multiply(self, name: str, factor: float) -> None:
        """A scale, and with it those of the biases that must be the product of two scales."""
        tensor = self._tensor(name)
        tensor.quantization.scale = np.float32(tensor.quantization.scale * factor)
        for use in self.users(name):
            if use.node.kind in ("conv", "linear") and len(use.node.inputs) > 2:
                bias = self._tensor(use.node.inputs[2])
                bias.quantization.scale = np.float32(bias.quantization.scale * factor)
                old = self.constants[use.node.inputs[2]]
                self.put(use.node.inputs[2], np.round(old / factor).astype(old.dtype))

    def _name(self, index: int) -> str:
        return f"{index}:{self._graph.tensors[index].name.decode()}"

    def _tensor(self, name: str) -> Any:
        return self._graph.tensors[int(name.partition(":")[0])]

    def _epsilon(self, node: Node) -> str | None:
        if node.kind != "add":
            return None
        roots = [use.node.kind for use in self.users(node.outputs[0])]
        for name in node.inputs:
            array = self.constants.get(name)
            if array is not None and array.size == 1 and {"rsqrt", "sqrt"} & set(roots):
                return name if 0 < float(array.reshape(-1)[0]) < SMALL else None
        return None

    def _become(self, node: Node, word: str) -> None:
        wanted = getattr(schema.BuiltinOperator, word)
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = wanted, wanted, 1
        self._model.operatorCodes.append(code)
        node.native.opcodeIndex = len(self._model.operatorCodes) - 1
        node.native.builtinOptions, node.native.builtinOptionsType = None, 0

    def _replaced(self, node: Node, place: int, array: Array) -> None:
        """An input of a constant of its own: others may share the old one."""
        old = self._graph.tensors[node.native.inputs[place]]
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.name, tensor.type = old.name + b"_fault", old.type
        tensor.shape = np.array(array.shape, np.int32)
        buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        tensor.buffer = len(self._model.buffers) - 1
        self._graph.tensors.append(tensor)
        node.native.inputs[place] = len(self._graph.tensors) - 1
