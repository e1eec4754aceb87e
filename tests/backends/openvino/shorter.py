"""Shortens texts and merges quantizers: `python shorter.py REPOSITORY FOLDER`, in the toolchain `openvino`.

Prints JSON: `texts`, name to what differs between the model of the full text and that of the short one, with
their lengths; `merged`, name to the operations that were and are, and whether outputs are equal.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])

import numpy as np
import openvino as ov
from openvino import opset8, opset15

from buildsys.backends.openvino import ir, text
from buildsys.backends.openvino.quantize import merged

ops = opset15
RANDOM = np.random.default_rng(0)
CORE = ov.Core()


def weight(*shape: int) -> Any:
    return ops.constant(RANDOM.standard_normal(shape).astype(np.float32))


def convolutions() -> Any:
    image = ops.parameter([-1, 4, 16, 16], np.float32, "image")
    row = ops.parameter([1, 4, 16], np.float32, "row")
    even = ([1, 1], [0, 0], [0, 0], [1, 1])
    given = [
        ops.convolution(image, weight(4, 4, 1, 1), *even),
        ops.convolution(image, weight(4, 4, 3, 3), [1, 1], [1, 1], [1, 1], [2, 2]),
        ops.convolution(image, weight(4, 4, 3, 3), [2, 1], [0, 1], [1, 0], [1, 1]),
        # Pads are told by the reader's own arithmetic here: what stands in the text is not taken.
        ops.convolution(image, weight(4, 4, 3, 3), *even, auto_pad="same_upper"),
        ops.convolution(image, weight(4, 4, 3, 3), *even, auto_pad="valid"),
        ops.convolution(row, weight(4, 4, 3), [1], [0], [0], [1]),
        ops.group_convolution(image, weight(2, 3, 2, 3, 3), *even),
        ops.group_convolution(image, weight(2, 3, 2, 3, 3), [2, 2], [1, 1], [1, 1], [1, 1]),
        ops.convolution_backprop_data(
            image, weight(4, 2, 3, 3), [1, 1], None, [0, 0], [0, 0], [1, 1]
        ),
    ]
    for pad, auto in (([0, 0], "explicit"), ([1, 1], "explicit"), ([0, 0], "same_lower")):
        for pool in (ops, opset8):
            found = pool.max_pool(image, [2, 1], [1, 1], pad, pad, [3, 3], "ceil", auto, "i32", 2)
            given += [found.output(0)]
            found = pool.max_pool(image, [1, 1], [1, 1], pad, pad, [3, 3], "floor", auto, "i64", 0)
            given += [found.output(0), found.output(1)]
        given.append(ops.avg_pool(image, [1, 1], pad, pad, [3, 3], True, "floor", auto))
    return ov.Model([ops.result(each) for each in given], [image, row], "m")


def products() -> Any:
    one, other = (ops.parameter([3, 3], np.float32, name) for name in ("one", "other"))
    given = [ops.matmul(one, other, a, b) for a in (True, False) for b in (True, False)]
    parts = ops.split(one, ops.constant(0), 3)
    best = ops.topk(other, ops.constant(2), 1, "max", "value", "i32")
    given += [parts.output(1), best.output(0), best.output(1)]
    given.append(ops.einsum([one, other], "ij,jk->ik"))
    given.append(ops.concat([one, other], 0))
    return ov.Model([ops.result(each) for each in given], [one, other], "m")


def broadcasts() -> Any:
    one, other = (ops.parameter([3, 3], np.float32, name) for name in ("one", "other"))
    floats = "add subtract multiply divide maximum minimum power mod floor_mod squared_difference"
    tests = "equal not_equal less less_equal greater greater_equal"
    given = [getattr(ops, name)(one, other) for name in f"{floats} {tests}".split()]
    least = ops.less(one, other)
    given += [getattr(ops, name)(least, given[-1]) for name in ("logical_and", "logical_or")]
    given += [ops.logical_xor(least, given[-1]), ops.select(least, one, other)]
    given.append(ops.add(one, other, "none"))
    whole = ops.convert(one, "i32")
    given += [
        getattr(ops, f"bitwise_{name}")(whole, whole)
        for name in ("and", "or", "xor", "left_shift", "right_shift")
    ]
    ends = [ops.constant(np.float32(each)) for each in (0, 1, 0, 1)]
    given.append(ops.fake_quantize(one, *ends, 256))
    return ov.Model([ops.result(each) for each in given], [one, other], "m")


def bodies() -> Any:
    """A loop over rows, and a branch, each with a body."""
    rows, start = ops.parameter([5, 4], np.float32, "rows"), weight(1, 4)
    row, state = (ops.parameter([1, 4], np.float32) for _ in range(2))
    after = ops.add(ops.matmul(state, weight(4, 4), False, False), row)
    loop = ops.tensor_iterator()
    loop.set_body(ov.Model([ops.result(after)], [row, state], "body"))
    loop.set_sliced_input(row, rows.output(0), 0, 1, 1, -1, 0)
    loop.set_merged_input(state, start.output(0), after.output(0))
    last = loop.get_iter_value(after.output(0), -1)
    every = loop.get_concatenated_slices(after.output(0), 0, 1, 1, -1, 0)
    return ov.Model([ops.result(last), ops.result(every)], [rows], "m")


def described(model: Any) -> Iterator[Any]:
    """All of the operations but names that no one gave, in the order in which they run."""
    for node in model.get_ordered_ops():
        outputs = [(str(o.get_partial_shape()), str(o.get_element_type())) for o in node.outputs()]
        attributes = {key: str(value) for key, value in node.get_attributes().items()}
        data = node.data.tobytes().hex() if node.get_type_name() == "Constant" else ""
        yield node.get_type_name(), attributes, outputs, data
        if node.get_type_name() == "TensorIterator":
            yield list(described(node.get_function()))
    yield [sorted(each.get_names()) for each in (*model.inputs, *model.outputs)]


def texts(folder: Path) -> Iterator[tuple[str, Any]]:
    for make in (convolutions, products, broadcasts, bodies):
        model = make()
        for number, output in enumerate(model.outputs):
            output.get_tensor().set_names({f"out{number}"})
        full, short = folder / f"{make.__name__}.xml", folder / f"{make.__name__}-short.xml"
        ov.serialize(model, full, full.with_suffix(".bin"))
        short.with_suffix(".bin").write_bytes(full.with_suffix(".bin").read_bytes())
        short.write_text(text.shortened(full.read_text(), frozenset(ir.names(model))))
        one, other = (list(described(CORE.read_model(path))) for path in (full, short))
        differ = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
        yield make.__name__, [differ[:1], len(full.read_text()), len(short.read_text())]


def quantizer(value: Any, low: float, high: float) -> Any:
    ends = [ops.constant(np.float32(each)) for each in (low, high, low, high)]
    return ops.fake_quantize(value, *ends, 256)


def quantizers() -> Iterator[tuple[str, Any]]:
    """A quantizer, and what stands before it."""
    image = ops.parameter([1, 3, 8, 8], np.float32, "image")
    mean, scale = (ops.constant(RANDOM.random((1, 3, 1, 1), np.float32) + 0.5) for _ in range(2))
    yield "standardised", quantizer(ops.add(ops.multiply(image, scale), mean), -3, 3)
    yield "divided", quantizer(ops.divide(ops.subtract(image, mean), scale), -3, 3)
    one = ops.constant(np.float32(1))
    yield "turned", quantizer(ops.multiply(image, ops.constant(np.float32(-2))), -3, 3)
    yield "nothing", quantizer(ops.multiply(image, ops.constant(np.float32(0))), -3, 3)
    yield "left", quantizer(ops.subtract(one, image), -3, 3)
    yield "far", quantizer(ops.subtract(image, ops.constant(np.float32(1e6))), -3.01, 3.01)
    shifted = ops.add(image, one)
    yield "read twice", ops.add(quantizer(shifted, -3, 3), shifted)
    yield "wider", quantizer(ops.add(image, weight(2, 3, 8, 8)), -3, 3)
    yield "within", quantizer(ops.add(ops.sigmoid(image), one), -3, 3)
    yield "relu", quantizer(ops.relu(ops.sin(image)), 0, 1)
    yield "relu below", quantizer(ops.relu(ops.sin(image)), -1, 1)
    relu = ops.relu(ops.sin(image))
    yield "relu elsewhere", ops.add(quantizer(relu, 0, 1), ops.add(relu, one))
    relu = ops.relu(ops.sin(image))
    yield "relu of two", ops.add(quantizer(relu, 0, 1), quantizer(relu, 0, 2))


def merging() -> Iterator[tuple[str, Any]]:
    for name, output in quantizers():
        (parameter,) = (n for n in _nodes(output) if n.get_type_name() == "Parameter")
        model = ov.Model([ops.result(output)], [parameter], "m")
        before = [run(model), Counter(n.get_type_name() for n in model.get_ordered_ops())]
        merged.merge(model)
        after = [run(model), Counter(n.get_type_name() for n in model.get_ordered_ops())]
        error = float(np.abs(before[0] - after[0]).max())
        yield name, [before[1] - after[1], after[1] - before[1], error]


def _nodes(node: Any) -> Iterator[Any]:
    found = {}
    left = [node]
    while left:
        each = left.pop()
        if each.get_friendly_name() not in found:
            found[each.get_friendly_name()] = each
            left += [value.get_node() for value in each.input_values()]
    return iter(found.values())


def run(model: Any) -> Any:
    image = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    return np.array(CORE.compile_model(model, "CPU", hint)([image * 3])[0])


if __name__ == "__main__":
    print(json.dumps({"texts": dict(texts(Path(sys.argv[2]))), "merged": dict(merging())}))
