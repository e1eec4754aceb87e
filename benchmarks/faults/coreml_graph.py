"""Core ML's ML programs as graphs that faults can be put into; runs in the toolchain `coreml`.

The package is edited as it lies on the disk: the protobuf message, and the bytes of `weight.bin`.
"""

from __future__ import annotations

import logging
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

logging.disable(logging.WARNING)  # What coremltools says while it is imported.

from coremltools.proto import MIL_pb2, Model_pb2  # noqa: E402

from benchmarks.faults.graph import Array, Graph, Node, Setting  # noqa: E402

DATA = Path("Data/com.apple.CoreML")
MODEL, WEIGHTS = DATA / "model.mlmodel", DATA / "weights/weight.bin"
BLOB = struct.Struct("<IIQQ")
"""The start of a blob's head: its mark, its type, its size in bytes, and where its data begin."""
KINDS = {
    "real_div": "div",
    "slice_by_index": "slice",
    "constexpr_affine_dequantize": "cast",
    "constexpr_blockwise_shift_scale": "cast",
}
ORDER = (
    "x",
    "values",
    "weight",
    "weight_ih",
    "weight_hh",
    "y",
    "indices",
    "begin",
    "end",
    "alpha",
    "beta",
)
"""Inputs that faults are about, in the order of their places; the bias follows the weight."""
BIASED = ("conv", "conv_transpose", "linear")
OPERANDS = ("sub", "real_div", "pow", "matmul")
ALIKE = {
    "relu": ("relu6", "silu"),
    "relu6": ("relu",),
    "softplus": ("relu",),
    "tanh": ("softsign",),
    "sigmoid": ("softsign",),
    "silu": ("relu",),
}
TYPES = {
    MIL_pb2.FLOAT16: np.float16,
    MIL_pb2.FLOAT32: np.float32,
    MIL_pb2.INT32: np.int32,
    MIL_pb2.INT8: np.int8,
    MIL_pb2.UINT8: np.uint8,
    MIL_pb2.BOOL: np.bool_,
}


class CoreMLGraph(Graph):
    """A saved `.mlpackage` with one function."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._spec = Model_pb2.Model()
        self._spec.ParseFromString((path / MODEL).read_bytes())
        stored = path / WEIGHTS
        self._blobs = bytearray(stored.read_bytes() if stored.exists() else b"")
        self._values: dict[str, Any] = {}
        self._blocks: list[Any] = []
        self._types: dict[str, Any] = {}
        (function,) = self._spec.mlProgram.functions.values()
        self._main = function.block_specializations[function.opset]
        for port in function.inputs:
            self._types[port.name] = port.type.tensorType
        self._read(self._main)
        self.outputs = list(self._main.outputs)

    def save(self, path: Path) -> None:
        shutil.copytree(self._path, path, dirs_exist_ok=True)
        # Deterministic, so that the package's digest tells the faults apart and nothing else.
        (path / MODEL).write_bytes(self._spec.SerializeToString(deterministic=True))
        if self._blobs:
            (path / WEIGHTS).write_bytes(self._blobs)

    def put(self, name: str, array: Array) -> None:
        self._store(self._values[name], np.ascontiguousarray(array))

    def swap(self, node: Node, first: int, second: int) -> None:
        if node.kind == "concat":
            bindings = node.native.inputs["values"].arguments
            one, other = bindings[first], bindings[second]
        else:
            one, other = (node.native.inputs[key].arguments[0] for key in ("x", "y"))
        kept = type(one)()
        kept.CopyFrom(one)
        one.CopyFrom(other)
        other.CopyFrom(kept)

    def drop(self, node: Node, place: int) -> None:
        if node.kind in BIASED and "bias" in node.native.inputs:
            del node.native.inputs["bias"]
        else:
            super().drop(node, place)

    def epsilon(self, node: Node) -> Setting[float] | None:
        name = self._given(node, "epsilon")
        held = self.constants.get(name)
        if held is None:
            return None
        return Setting(float(held), lambda value: self.put(name, np.full_like(held, value)))

    def pads(self, node: Node) -> Setting[list[int]] | None:
        name, kind = self._given(node, "pad"), self._given(node, "pad_type")
        if name not in self.constants or self._text(kind) != "custom":
            return None
        pairs = [int(n) for n in self.constants[name]]
        return Setting(pairs[::2] + pairs[1::2], partial(self._set_pads, node))

    def _set_pads(self, node: Node, pads: list[int]) -> None:
        half = len(pads) // 2
        pairs = [pads[axis + side] for axis in range(half) for side in (0, half)]
        name = self._given(node, "pad")
        self._replaced(node, {"pad": np.array(pairs, self.constants[name].dtype)})

    def activations(self, node: Node) -> Mapping[str, Callable[[], None]]:
        native = node.native
        found = {name: partial(self._become, node, name) for name in ALIKE.get(native.type, ())}
        if native.type == "clip" and self._scalar(node, "beta") == 6:
            found["relu"] = partial(self._become, node, "relu")
        if native.type in ("elu", "leaky_relu"):
            name = self._given(node, "alpha")
            half = self.constants[name] * 0.5
            found[f"{native.type} of half the alpha"] = partial(
                self._replaced, node, {"alpha": half}
            )
        if native.type == "gelu" and self._text(self._given(node, "mode")) == "EXACT":
            found["gelu by tanh"] = partial(
                self._say, self._given(node, "mode"), "TANH_APPROXIMATION"
            )
        return found

    def windows(self, node: Node) -> Mapping[str, Callable[[], None]]:
        if node.kind == "gather":
            name = self._given(node, "indices")
            index = self.constants.get(name)
            if index is None or index.size != 1 or self._given(node, "x") in self.constants:
                return {}
            other = index - 1 if int(index.reshape(-1)[0]) else index + 1
            given = {"indices": other.astype(index.dtype)}
            return {f"index {other} in place of {index}": partial(self._replaced, node, given)}
        begin, end = (self.constants.get(self._given(node, key)) for key in ("begin", "end"))
        shape = self._shape(self._given(node, "x"))
        if begin is None or end is None or shape is None:
            return {}
        found = {}
        for axis, size in enumerate(shape):
            single = self._flag(node, "squeeze_mask", axis)
            open_ended = self._flag(node, "begin_mask", axis) or self._flag(node, "end_mask", axis)
            if size is None or size < 2 or (open_ended and not single):
                continue
            first = int(begin[axis]) % size
            last = first + 1 if single else (int(end[axis]) % size or size)
            for step in (-1, 1):
                if first + step >= 0 and last + step <= size:
                    moved = (begin.copy(), end.copy())
                    moved[0][axis], moved[1][axis] = first + step, last + step
                    text = f"from {first + step} in place of {first} on axis {axis}"
                    given = {"begin": moved[0], "end": moved[1]}
                    found[text] = partial(self._replaced, node, given)
        return found

    def before_flattening(self) -> Iterator[tuple[Node, Callable[[], None]]]:
        for node in self.nodes:
            if node.kind == "reshape":
                before, after = (self._types.get(n) for n in (node.inputs[0], node.outputs[0]))
                shape = self._shape(node.inputs[0])
                ranks = tuple(kind.rank for kind in (before, after) if kind is not None)
                if ranks == (4, 2) and shape and (shape[1] or 0) > 1:
                    yield node, partial(self._transposed, node)

    def swap_outputs(self, first: int, second: int) -> None:
        one, other = self.outputs[first], self.outputs[second]
        names = {one: other, other: one}
        for block in self._blocks:
            for native in block.operations:
                for given in native.inputs.values():
                    for binding in given.arguments:
                        binding.name = names.get(binding.name, binding.name)
                for output in native.outputs:
                    output.name = names.get(output.name, output.name)
        described = {o.name: o for o in self._spec.description.output}
        kept = Model_pb2.Model().description.output.add()
        kept.type.CopyFrom(described[one].type)
        described[one].type.CopyFrom(described[other].type)
        described[other].type.CopyFrom(kept.type)

    def scales(self) -> Iterator[tuple[str, str, Callable[[float], None]]]:
        for node in self.nodes:
            if node.native.type == "constexpr_affine_dequantize":
                value = node.native.attributes["scale"]
            elif node.native.type == "constexpr_blockwise_shift_scale":
                value = node.native.inputs["scale"].arguments[0].value
            else:
                continue
            user = next((use.node for use in self.users(node.outputs[0])), node)
            yield user.name, node.outputs[0], partial(self._multiply, value)

    def _read(self, block: Any) -> None:
        self._blocks.append(block)
        for native in block.operations:
            for output in native.outputs:
                self._types[output.name] = output.type.tensorType
            if native.type == "const":
                name = native.outputs[0].name
                self._values[name] = native.attributes["val"]
                array = self._loaded(native.attributes["val"])
                if array is not None:
                    self.constants[name] = array
                continue
            for inner in native.blocks:
                self._read(inner)
            kind = KINDS.get(native.type, native.type)
            outputs = [output.name for output in native.outputs]
            self.nodes.append(Node(outputs[0], kind, self._places(native), outputs, native))

    @staticmethod
    def _places(native: Any) -> list[str]:
        keys = sorted(native.inputs, key=lambda key: (_rank(native, key), key))
        if native.type == "concat":
            keys = ["values"]
        elif native.type in OPERANDS:
            keys = ["x", "y"]
        return [binding.name for key in keys for binding in native.inputs[key].arguments]

    @staticmethod
    def _given(node: Node, key: str) -> str:
        given = node.native.inputs
        return str(given[key].arguments[0].name) if key in given else ""

    def _scalar(self, node: Node, key: str) -> float | None:
        found = self.constants.get(self._given(node, key))
        return float(found.reshape(-1)[0]) if found is not None else None

    def _flag(self, node: Node, key: str, axis: int) -> bool:
        found = self.constants.get(self._given(node, key))
        return bool(found[axis]) if found is not None else False

    def _text(self, name: str) -> str:
        value = self._values.get(name)
        return str(value.immediateValue.tensor.strings.values[0]) if value is not None else ""

    def _say(self, name: str, text: str) -> None:
        self._values[name].immediateValue.tensor.strings.values[0] = text

    def _shape(self, name: str) -> list[int | None] | None:
        kind = self._types.get(name)
        if kind is None:
            return None
        return [d.constant.size if d.HasField("constant") else None for d in kind.dimensions]

    def _loaded(self, value: Any) -> Array | None:
        tensor = value.type.tensorType
        dtype = TYPES.get(tensor.dataType)
        if dtype is None:
            return None  # Text.
        shape = [d.constant.size for d in tensor.dimensions]
        if value.WhichOneof("value") == "blobFileValue":
            start, size = self._blob(value)
            return np.frombuffer(bytes(self._blobs[start : start + size]), dtype).reshape(shape)
        held = value.immediateValue.tensor
        kind = held.WhichOneof("value")
        if kind == "bytes":
            return np.frombuffer(held.bytes.values, dtype).reshape(shape)
        return np.array(list(getattr(held, kind).values), dtype).reshape(shape) if kind else None

    def _store(self, value: Any, array: Array) -> None:
        if value.WhichOneof("value") == "blobFileValue":
            start, size = self._blob(value)
            data = array.tobytes()
            if len(data) != size:
                raise ValueError(f"{len(data)} bytes for a blob of {size}")
            self._blobs[start : start + size] = data
            return
        held = value.immediateValue.tensor
        kind = held.WhichOneof("value")
        if kind == "bytes":
            held.bytes.values = array.tobytes()
        else:
            values = getattr(held, kind).values
            del values[:]
            values.extend(array.reshape(-1).tolist())

    def _blob(self, value: Any) -> tuple[int, int]:
        """Where a blob's data begin, and how many bytes they are."""
        mark, _, size, start = BLOB.unpack_from(self._blobs, value.blobFileValue.offset)
        if mark != 0xDEADBEEF:
            raise ValueError("no blob where the program says")
        return start, size

    def _multiply(self, value: Any, factor: float) -> None:
        array = self._loaded(value)
        if array is None:
            raise ValueError("the scale is not a number")
        self._store(value, (array * factor).astype(array.dtype))

    def _become(self, node: Node, name: str) -> None:
        node.native.type = name
        for key in [key for key in node.native.inputs if key != "x"]:
            del node.native.inputs[key]

    def _replaced(self, node: Node, given: Mapping[str, Array]) -> None:
        """Inputs of constants of their own: others may share the old ones."""
        for key, array in given.items():
            old = self._given(node, key)
            block = next(b for b in self._blocks if any(o is node.native for o in b.operations))
            made = self._copied(block, node, old, f"{node.outputs[0]}_fault_{key}")
            self._store(made.attributes["val"], np.ascontiguousarray(array))
            node.native.inputs[key].arguments[0].name = made.outputs[0].name

    def _copied(self, block: Any, node: Node, old: str, name: str) -> Any:
        """A constant like another one, before an operation; with its value in the program itself."""
        array = self.constants[old]
        made = MIL_pb2.Operation(type="const")
        output = made.outputs.add(name=name)
        output.type.tensorType.CopyFrom(self._types[old])
        value = made.attributes["val"]
        value.type.tensorType.CopyFrom(self._types[old])
        tensor = value.immediateValue.tensor
        if array.dtype == np.float32:
            tensor.floats.values.extend(array.reshape(-1).tolist())
        elif array.dtype == np.int32:
            tensor.ints.values.extend(array.reshape(-1).tolist())
        else:
            tensor.bytes.values = array.tobytes()
        self._named(made, name)
        return self._before(block, node, made)

    @staticmethod
    def _named(made: Any, name: str) -> None:
        value = made.attributes["name"]
        value.type.tensorType.dataType = MIL_pb2.STRING
        value.immediateValue.tensor.strings.values.append(name)

    @staticmethod
    def _before(block: Any, node: Node, made: Any) -> Any:
        at = next(i for i, o in enumerate(block.operations) if o is node.native)
        block.operations.insert(at, made)
        return block.operations[at]

    def _transposed(self, node: Node) -> None:
        block = next(b for b in self._blocks if any(o is node.native for o in b.operations))
        order, name = [0, 2, 3, 1], f"{node.outputs[0]}_fault"
        perm = MIL_pb2.Operation(type="const")
        kind = perm.outputs.add(name=f"{name}_perm").type.tensorType
        kind.dataType, kind.rank = MIL_pb2.INT32, 1
        kind.dimensions.add().constant.size = 4
        value = perm.attributes["val"]
        value.type.tensorType.CopyFrom(kind)
        value.immediateValue.tensor.ints.values.extend(order)
        self._named(perm, f"{name}_perm")
        made = MIL_pb2.Operation(type="transpose")
        made.inputs["x"].arguments.add(name=node.inputs[0])
        made.inputs["perm"].arguments.add(name=f"{name}_perm")
        before = self._types[node.inputs[0]]
        after = made.outputs.add(name=name).type.tensorType
        after.dataType, after.rank = before.dataType, before.rank
        after.dimensions.extend(before.dimensions[axis] for axis in order)
        self._named(made, name)
        self._before(block, node, perm)
        self._before(block, node, made)
        node.native.inputs["x"].arguments[0].name = name


def _rank(native: Any, key: str) -> int:
    if native.type in BIASED:
        return ("x", "weight", "bias").index(key) if key in ("x", "weight", "bias") else 3
    return ORDER.index(key) if key in ORDER else len(ORDER)
