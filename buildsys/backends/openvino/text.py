"""The text of `model.xml` without what OpenVINO's reader does not read, and with names of places.

Of a model of a few ten thousand weights in int8 the text, as OpenVINO writes it, weighs as much as the
weights. The reader takes shapes from the operations, so that the sizes of ports can go, and what an
operation does by default need not be said. `openvino.save_model` writes all of it again.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

HEAD = '<?xml version="1.0"?>'
CONSTANT, PARAMETER, RESULT = "Const", "Parameter", "Result"
DEFAULTS = {"auto_broadcast": "numpy"}
"""Of all operations that broadcast."""
DEFAULTS_OF = {
    "MatMul": {"transpose_a": "false", "transpose_b": "false"},
    "MaxPool": {"rounding_type": "floor", "index_element_type": "i64", "axis": "0"},
}
"""Type to what it does where nothing is said, by the specification of its operator set."""
EVEN = {"strides": "1", "dilations": "1", "pads_begin": "0", "pads_end": "0"}
"""What convolutions do along each axis where nothing is said: the reader fills it in."""
EVEN_OF = {
    "Convolution": tuple(EVEN),
    "GroupConvolution": tuple(EVEN),
    "MaxPool": ("pads_begin", "pads_end"),
}
EXPLICIT = ("auto_pad", "explicit")

# OpenVINO names what it makes after its type and a counter of the process: `Reshape_17`.
_COUNTED = re.compile(r"(?:^|(?<=/))[A-Z]\w*_\d+(?=$|/|_compressed)")
_BETWEEN = re.compile(r">\s+<")
_NUMBERS = re.compile(r"-?\d+(\.\.\d+)?(, -?\d+(\.\.\d+)?)+")


def shortened(text: str, known: frozenset[str]) -> str:
    """The text of a model, as short as the reader takes it.

    Args:
        text: As OpenVINO writes it.
        known: Names of operations that come from outside, and are kept.
    """
    root = ElementTree.fromstring(_BETWEEN.sub("><", text).strip())  # noqa: S314 - OpenVINO's own
    for net in _nets(root):
        _Net(net).shorten()
    _name(root, known)
    about = root.find("rt_info")
    if about is not None:
        for info in about.findall("info[@name='OpenVINO Runtime']"):
            about.remove(info)
        if not len(about):
            root.remove(about)
    # Within attributes `>` is escaped.
    return HEAD + ElementTree.tostring(root, encoding="unicode").replace(" />", "/>") + "\n"


def _nets(root: Any) -> Iterator[Any]:
    """The model, and the bodies of loops and branches within."""
    return (each for each in root.iter() if each.find("layers") is not None)


class _Net:
    """Layers, and the edges between their ports."""

    def __init__(self, net: Any) -> None:
        self._layers = list(net.find("layers"))
        edges = net.find("edges")
        self._edges = [] if edges is None else list(edges)
        self._read = {(e.get("from-layer"), e.get("from-port")) for e in self._edges}
        results = {each.get("id") for each in self._layers if each.get("type") == RESULT}
        self._given = {
            (e.get("from-layer"), e.get("from-port"))
            for e in self._edges
            if e.get("to-layer") in results
        }

    def shorten(self) -> None:
        """Takes out sizes, inner names and defaults."""
        for layer in self._layers:
            # Of operations that it does not know the reader takes types and sizes from here.
            if layer.get("version", "").startswith("opset"):
                self._ports(layer)
                _attributes(layer)

    def _ports(self, layer: Any) -> None:
        for port in layer.iterfind("input/port"):
            port.attrib.pop("precision", None)
            _without_sizes(port)
        outputs = layer.find("output")
        for port in layer.iterfind("output/port"):
            _without_sizes(port)
            place = (layer.get("id"), port.get("id"))
            if layer.get("type") != PARAMETER and place not in self._given:
                port.attrib.pop("names", None)
        while outputs is not None and len(outputs) > 1:
            last = outputs[-1]
            if (layer.get("id"), last.get("id")) in self._read or len(last):
                break
            outputs.remove(last)


def _without_sizes(port: Any) -> None:
    for size in port.findall("dim"):
        port.remove(size)


def _attributes(layer: Any) -> None:
    data, kind = layer.find("data"), layer.get("type")
    if data is None:
        return
    for name, value in list(data.attrib.items()):
        if _NUMBERS.fullmatch(value):
            data.set(name, value.replace(", ", ","))
    defaults = DEFAULTS | DEFAULTS_OF.get(kind, {})
    if kind in EVEN_OF:
        defaults = defaults | dict([EXPLICIT])
        for name in EVEN_OF[kind]:
            if set(data.get(name, "").split(",")) == {EVEN[name]}:
                del data.attrib[name]
    for name, value in defaults.items():
        if data.get(name) == value:
            del data.attrib[name]
    if not data.attrib and not len(data):
        layer.remove(data)


def _name(root: Any, known: frozenset[str]) -> None:
    """Gives layers that a counter named a name that follows from their place.

    What is computed is named by its type and number. What is constant is named by its number, and so is
    what is computed of constants alone, as a weight that is widened, whatever it was named on the way.
    """
    layers = [layer for net in _nets(root) for layer in net.find("layers")]
    constant = {id(layer) for net in _nets(root) for layer in _constant(net)}

    def counted(layer: Any) -> bool:
        name = layer.get("name")
        if id(layer) in constant and layer.get("type") != CONSTANT:
            return name not in known
        return not any(each in known for each in _prefixes(name)) and bool(_COUNTED.search(name))

    taken = {layer.get("name") for layer in layers if not counted(layer)}
    counts: dict[str, int] = {}
    for layer in layers:
        if not counted(layer):
            continue
        head = "c" if id(layer) in constant else f"{layer.get('type')}."
        while True:
            counts[head] = counts.get(head, 0) + 1
            name = f"{head}{counts[head]}"
            if name not in taken:
                break
        layer.set("name", name)


def _constant(net: Any) -> Iterator[Any]:
    """Layers that read nothing but constants; in the text a layer stands behind all that it reads."""
    edges = net.find("edges")
    reads: dict[str, list[str]] = {}
    for edge in () if edges is None else edges:
        reads.setdefault(edge.get("to-layer"), []).append(edge.get("from-layer"))
    found: set[str] = set()
    for layer in net.find("layers"):
        sources = reads.get(layer.get("id"), [])
        computed = layer.get("type") != RESULT and sources and found.issuperset(sources)
        if layer.get("type") == CONSTANT or computed:
            found.add(layer.get("id"))
            yield layer


def _prefixes(name: str) -> Iterator[str]:
    """`a`, `a/b` and `a/b/c` of `a/b/c`: what OpenVINO adds to a name stands behind a stroke."""
    yield name
    for found in re.finditer("/", name):
        yield name[: found.start()]
