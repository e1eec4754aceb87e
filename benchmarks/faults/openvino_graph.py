"""OpenVINO's IR as graphs that faults can be put into: XML and bytes, written out in full by OpenVINO."""

from __future__ import annotations

import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from benchmarks.faults.graph import Array, Graph, Node, Setting

XML, BIN = "model.xml", "model.bin"
KINDS = {
    "Convolution": "conv",
    "GroupConvolution": "conv",
    "ConvolutionBackpropData": "conv_transpose",
    "MatMul": "matmul",
    "Subtract": "sub",
    "Divide": "div",
    "Power": "pow",
    "LSTMSequence": "lstm",
    "GRUSequence": "gru",
    "Convert": "cast",
    "FakeConvert": "cast",
}
TYPES = {
    "f32": np.float32,
    "f16": np.float16,
    "i64": np.int64,
    "i32": np.int32,
    "i8": np.int8,
    "u8": np.uint8,
    "boolean": np.bool_,
}
ALIKE = {
    "ReLU": ("Elu", "opset1", {"alpha": "1"}),
    "HSwish": ("ReLU", "opset1", None),
    "HSigmoid": ("Sigmoid", "opset1", None),
    "Sigmoid": ("HSigmoid", "opset5", None),
    "Tanh": ("SoftSign", "opset9", None),
    "SoftPlus": ("ReLU", "opset1", None),
    "Elu": ("ReLU", "opset1", None),
}
"""Type, operator set and options of an activation that looks alike."""
EPSILONS = ("eps", "epsilon")


class OpenVINOGraph(Graph):
    """A folder with `model.xml` and `model.bin`. Tensors are named by layer and port."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        # A shipped text has no sizes and no defaults.
        with tempfile.TemporaryDirectory() as folder:
            xml, data = Path(folder) / XML, Path(folder) / BIN
            ov.serialize(ov.Core().read_model(path / XML), xml, data)
            self._tree = ElementTree.parse(xml)  # noqa: S314 - a file of our own
            self._bytes = bytearray(data.read_bytes())
        root: Any = self._tree.getroot()
        self._layers = root.find("layers")
        self._edges = root.find("edges")
        self._natives: dict[str, Any] = {}
        given = {
            (e.get("to-layer"), e.get("to-port")): f"{e.get('from-layer')}:{e.get('from-port')}"
            for e in self._edges
        }
        results: list[str] = []
        for native in self._layers:
            number, word = native.get("id"), native.get("type")
            inputs = [
                given.get((number, port.get("id")), "") for port in native.findall("input/port")
            ]
            outputs = [f"{number}:{port.get('id')}" for port in native.findall("output/port")]
            if word == "Const":
                self._natives[outputs[0]] = native
                array = self._loaded(native.find("data"))
                if array is not None:
                    self.constants[outputs[0]] = array
            elif word == "Result":
                results.append(number)
            elif word != "Parameter":
                kind = KINDS.get(word, word.lower())
                self.nodes.append(Node(native.get("name"), kind, inputs, outputs, native))
        self._results = results
        self.outputs = [given[number, "0"] for number in results]

    def save(self, path: Path) -> None:
        shutil.copytree(self._path, path, dirs_exist_ok=True)
        self._tree.write(path / XML)
        (path / BIN).write_bytes(self._bytes)

    def put(self, name: str, array: Array) -> None:
        # At the end: constants of equal bytes share their place.
        data = self._natives[name].find("data")
        data.set("offset", str(len(self._bytes)))
        self._bytes += np.ascontiguousarray(array).tobytes()
        self._bytes += bytes(-len(self._bytes) % 64)

    def swap(self, node: Node, first: int, second: int) -> None:
        ports = node.native.findall("input/port")
        self._exchange(*((node.native.get("id"), ports[n].get("id")) for n in (first, second)))

    def epsilon(self, node: Node) -> Setting[float] | None:
        key, data = self._epsilon(node), node.native.find("data")
        if key is None:
            return None
        return Setting(float(data.get(key)), lambda value: data.set(key, repr(value)))

    def pads(self, node: Node) -> Setting[list[int]] | None:
        data = node.native.find("data")
        if data is None or not data.get("pads_begin") or data.get("auto_pad") != "explicit":
            return None
        both = f"{data.get('pads_begin')},{data.get('pads_end')}"
        return Setting([int(n) for n in both.split(",")], partial(self._set_pads, node))

    def _set_pads(self, node: Node, pads: list[int]) -> None:
        half, data = len(pads) // 2, node.native.find("data")
        data.set("pads_begin", ", ".join(map(str, pads[:half])))
        data.set("pads_end", ", ".join(map(str, pads[half:])))

    def activations(self, node: Node) -> Mapping[str, Callable[[], None]]:
        native, data = node.native, node.native.find("data")
        found: dict[str, Callable[[], None]] = {}
        if native.get("type") in ALIKE:
            word, version, options = ALIKE[native.get("type")]
            found[word.lower()] = partial(self._become, node, word, version, options)
        if native.get("type") == "Clamp" and float(data.get("max")) == 6:
            found["relu"] = partial(self._become, node, "ReLU", "opset1", None)
        if native.get("type") == "Gelu" and data.get("approximation_mode", "").upper() == "ERF":
            found["gelu by tanh"] = partial(data.set, "approximation_mode", "TANH")
        return found

    def windows(self, node: Node) -> Mapping[str, Callable[[], None]]:
        if node.kind == "gather":
            index = self.constants.get(node.inputs[1])
            if index is None or index.size != 1 or self.is_constant(node.inputs[0]):
                return {}
            at = int(index.reshape(-1)[0])
            other = at - 1 if at else 1
            text = f"index {other} in place of {at}"
            return {
                text: partial(self._replaced, {node.inputs[1]: np.full_like(index, other)}, node)
            }
        if len(node.inputs) < 4:
            return {}
        start, stop = (self.constants.get(name) for name in node.inputs[1:3])
        axes = self.constants.get(node.inputs[4]) if len(node.inputs) > 4 else np.zeros(1, np.int64)
        if start is None or stop is None or axes is None or start.size != 1:
            return {}
        axis, first, last = (int(a.reshape(-1)[0]) for a in (axes, start, stop))
        size = int(node.native.findall("input/port")[0].findall("dim")[axis].text)
        first, last = first % size if size > 0 else first, last if last > 0 else last + size
        found = {}
        for step in (-1, 1):
            if size > 0 and first + step >= 0 and last + step <= size:
                moved = {
                    node.inputs[1]: np.full_like(start, first + step),
                    node.inputs[2]: np.full_like(stop, last + step),
                }
                text = f"from {first + step} in place of {first} on axis {axis}"
                found[text] = partial(self._replaced, moved, node)
        return found

    def before_flattening(self) -> Iterator[tuple[Node, Callable[[], None]]]:
        for node in self.nodes:
            if node.kind == "reshape":
                before, after = (
                    [int(dim.text) for dim in port.findall("dim")]
                    for port in (node.native.find("input/port"), node.native.find("output/port"))
                )
                if (len(before), len(after)) == (4, 2) and before[1] > 1:
                    yield node, partial(self._transposed, node)

    def swap_outputs(self, first: int, second: int) -> None:
        self._exchange((self._results[first], "0"), (self._results[second], "0"))

    def scales(self) -> Iterator[tuple[str, str, Callable[[float], None]]]:
        for node in self.nodes:
            if node.native.get("type") == "FakeQuantize" and not self.is_constant(node.inputs[0]):
                yield node.name, node.outputs[0], partial(self._narrow, node)

    def _narrow(self, node: Node, factor: float) -> None:
        # Limits of input and output are often one constant, and other quantizers' too.
        for name in dict.fromkeys(node.inputs[1:]):
            before = self.constants[name]
            layer = self._constant((before * factor).astype(before.dtype), self._element(name))
            for place, given in enumerate(node.inputs):
                if given == name:
                    self._feed(node, place, layer)

    def _loaded(self, data: Any) -> Array | None:
        dtype = TYPES.get(data.get("element_type"))
        if dtype is None:
            return None
        start, size = int(data.get("offset")), int(data.get("size"))
        shape = [int(n) for n in data.get("shape").split(",") if n.strip()]
        return np.frombuffer(bytes(self._bytes[start : start + size]), dtype).reshape(shape)

    @staticmethod
    def _epsilon(node: Node) -> str | None:
        data = node.native.find("data")
        return next((k for k in EPSILONS if data is not None and data.get(k)), None)

    def _exchange(self, first: tuple[str, str], second: tuple[str, str]) -> None:
        found = {(e.get("to-layer"), e.get("to-port")): e for e in self._edges}
        one, other = found[first], found[second]
        for key in ("from-layer", "from-port"):
            kept = one.get(key)
            one.set(key, other.get(key))
            other.set(key, kept)

    @staticmethod
    def _become(node: Node, word: str, version: str, options: Mapping[str, str] | None) -> None:
        node.native.set("type", word)
        node.native.set("version", version)
        data = node.native.find("data")
        if data is not None:
            node.native.remove(data)
        if options is not None:
            node.native.insert(0, ElementTree.Element("data", dict(options)))

    def _added(self, word: str, version: str, shape: list[int], dtype: str) -> Any:
        number = str(1 + max(int(layer.get("id")) for layer in self._layers))
        layer = ElementTree.SubElement(
            self._layers, "layer", id=number, name=f"fault_{number}", type=word, version=version
        )
        port = ElementTree.Element("port", id="0" if word == "Const" else "2", precision=dtype)
        for size in shape:
            ElementTree.SubElement(port, "dim").text = str(size)
        output = ElementTree.SubElement(layer, "output")
        output.append(port)
        return layer

    def _constant(self, array: Array, element: str) -> Any:
        layer = self._added("Const", "opset1", list(array.shape), element)
        start = len(self._bytes)
        data = np.ascontiguousarray(array).tobytes()
        self._bytes += data + bytes(-len(data) % 64)
        shape = ", ".join(map(str, array.shape))
        options = {
            "element_type": element,
            "shape": shape,
            "offset": str(start),
            "size": str(len(data)),
        }
        layer.insert(0, ElementTree.Element("data", options))
        return layer

    def _replaced(self, given: Mapping[str, Array], node: Node) -> None:
        """Inputs of constants of their own: others may share the old ones."""
        for name, array in given.items():
            layer = self._constant(array, self._element(name))
            self._feed(node, node.inputs.index(name), layer)

    def _element(self, name: str) -> str:
        kind: str = self._natives[name].find("data").get("element_type")
        return kind

    def _feed(self, node: Node, place: int, constant: Any) -> None:
        port = node.native.findall("input/port")[place].get("id")
        edge = self._edge(node.native.get("id"), port)
        edge.set("from-layer", constant.get("id"))
        edge.set("from-port", "0")

    def _edge(self, layer: str, port: str) -> Any:
        return next(
            e for e in self._edges if (e.get("to-layer"), e.get("to-port")) == (layer, port)
        )

    def _transposed(self, node: Node) -> None:
        port = node.native.find("input/port")
        before = [int(dim.text) for dim in port.findall("dim")]
        order = [0, 2, 3, 1]
        constant = self._constant(np.array(order, np.int64), "i64")
        shape = [before[axis] for axis in order]
        made = self._added("Transpose", "opset1", shape, port.get("precision"))
        inputs = ElementTree.Element("input")
        for place, sizes in enumerate((before, [4])):
            precision = port.get("precision") if place == 0 else "I64"
            taken = ElementTree.SubElement(inputs, "port", id=str(place), precision=precision)
            for size in sizes:
                ElementTree.SubElement(taken, "dim").text = str(size)
        made.insert(0, inputs)
        edge = self._edge(node.native.get("id"), port.get("id"))
        source = (edge.get("from-layer"), edge.get("from-port"))
        edge.set("from-layer", made.get("id"))
        edge.set("from-port", "2")
        for (layer, number), to in ((source, "0"), ((constant.get("id"), "0"), "1")):
            ElementTree.SubElement(
                self._edges,
                "edge",
                {
                    "from-layer": layer,
                    "from-port": number,
                    "to-layer": made.get("id"),
                    "to-port": to,
                },
            )
