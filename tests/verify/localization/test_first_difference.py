"""The place where an artifact's computation parts from the original's, on small graphs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.inspect.probing import Recording
from buildsys.figures.json_form import to_json
from buildsys.verify.localization.first_difference import Localization
from tests.verify.recordings import Array, Side, samples

WEIGHT = samples(8, 8, seed=1)[0]
BIAS = samples(8, seed=2)[0]
HEAD = samples(8, 4, seed=3)[0]


def located(artifact: Recording, original: Recording, scheme: str | None = None) -> dict[str, Any]:
    options: dict[str, Any] = {
        "label": "ios/net.coreml",
        "format": "coreml",
        "scheme": scheme,
        "outputs": list(original.given),
        "bounds": {},
    }
    record: dict[str, Any] = to_json(Localization(artifact, original, options, {}).location())
    return record


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def original() -> Side:
    """A linear layer, an activation, a residual sum, a head: as torch has it."""
    side = Side()
    side.feed("x", samples(5, 8))
    side.do(
        "aten::addmm",
        "v0",
        lambda x: x @ WEIGHT + BIAS,
        "x",
        weights=["body.linear.weight"],
        module="body.linear",
    )
    side.do("aten::relu", "v1", relu, "v0", module="body")
    side.do("aten::add", "v2", lambda a, b: a + b, "v1", "x", module="body")
    side.do("aten::mm", "v3", lambda x: x @ HEAD, "v2", weights=["head.weight"], module="head")
    return side


def artifact(
    bias: Array = BIAS,
    weight: Array = WEIGHT,
    activation: Any = relu,
    total: Any = lambda a, b: a + b,
    head: Array = HEAD,
) -> Side:
    """The same, with a product and a sum for the linear layer, as converters have it."""
    side = Side()
    side.feed("x", samples(5, 8))
    side.do("MatMul", "/body/linear/MatMul", lambda x: x @ weight, "x", weights=["w"])
    side.do("Add", "/body/linear/Add", lambda x: x + bias, "/body/linear/MatMul", weights=["b"])
    side.do("Relu", "/body/Relu", activation, "/body/linear/Add")
    side.do("Add", "/body/Add", total, "/body/Relu", "x")
    side.do("MatMul", "logits", lambda x: x @ head, "/body/Add", weights=["head.weight"])
    return side


def compared(side: Side, **more: Any) -> dict[str, Any]:
    reference = original().recording({"logits": "v3"})
    return located(side.recording({"logits": "logits"}), reference, **more)


def test_nothing_is_wrong_with_what_is_only_spelled_out() -> None:
    found = compared(artifact())
    assert (found["found"], found["kind"], found["operation"]) == (False, "healthy", None)
    # The product alone is no tensor of the original; all the others are.
    assert [row["reference_op"] for row in found["table"]][1:] == [
        "aten::addmm",
        "aten::relu",
        "aten::add",
        "aten::mm",
    ]


@pytest.mark.parametrize(
    ("faulty", "names", "module"),
    [
        ({"bias": 0 * BIAS}, {"/body/linear/MatMul", "/body/linear/Add"}, "body.linear"),
        ({"weight": WEIGHT.T}, {"/body/linear/MatMul", "/body/linear/Add"}, "body.linear"),
        ({"activation": np.tanh}, {"/body/Relu"}, "body"),
        ({"total": lambda a, b: a - b}, {"/body/Add"}, "body"),
        ({"head": np.where(HEAD[0, 0] == HEAD, 0, HEAD)}, {"logits"}, "head"),
    ],
)
def test_a_fault_is_located_in_its_operation(
    faulty: Mapping[str, Any], names: set[str], module: str
) -> None:
    found = compared(artifact(**faulty))
    assert found["kind"] == "op"
    assert found["operation"]["name"] in names
    assert found["module"] == module
    assert found["source"]["file"] == "model.py"
    assert found["before"] < 1e-6


def test_axes_in_another_order_are_the_same_tensor() -> None:
    reference, side = Side(), Side()
    reference.feed("x", samples(3, 4, 5))
    reference.do("aten::relu", "v0", relu, "x", module="act")
    reference.do("aten::mul", "v1", lambda x: 3 * x, "v0", module="scale")
    side.feed("x", samples(3, 4, 5))
    side.do("TRANSPOSE", "t", lambda x: x.transpose(0, 2, 3, 1), "x")
    side.do("RELU", "r", relu, "t")
    side.do("MUL", "m", lambda x: 3 * x + 1, "r")
    given = {"y": side.values["m"].transpose(0, 3, 1, 2)}
    found = located(side.recording({"y": "m"}, given), reference.recording({"y": "v1"}))
    assert (found["operation"]["name"], found["module"]) == ("m", "scale")
    assert [row["explained"] for row in found["table"]] == [True, True, False]


def test_swapped_outputs_are_told_in_words() -> None:
    reference, side = Side(), Side()
    for one, (first, second) in ((reference, ("a", "b")), (side, ("b", "a"))):
        one.feed("x", samples(6))
        one.do("aten::sin", first, np.sin, "x")
        one.do("aten::mul", second, lambda x: 2 * x, "x")
    outputs = {"a": "a", "b": "b"}
    found = located(side.recording(outputs), reference.recording(outputs))
    assert found["kind"] == "output-order"
    assert "`a` is the original's `b`" in found["in_words"]


def test_a_fault_of_the_first_scaling_begins_at_the_input() -> None:
    reference, side = Side(), Side()
    for one, scale in ((reference, 2.0), (side, 1.0)):
        one.feed("x", samples(3, 6))
        one.do("Mul", "scaled", lambda x, s=scale: x * s + 0.5, "x", module="")
        one.do("MatMul", "y", lambda x: x @ samples(6, 6, seed=5)[0], "scaled", weights=["w"])
    found = located(side.recording({"y": "y"}), reference.recording({"y": "y"}))
    assert found["kind"] == "input"
    assert "very input" in found["in_words"]


def half(x: Array) -> Array:
    return x.astype(np.float16).astype(np.float32)


def squared(rounding: Any, words: tuple[str, str, str]) -> Side:
    """Numbers that are scaled, squared, and summed up: the squares go beyond float16."""
    side = Side()
    x = samples(7)
    scaled, square = x * 400, (x * 400) ** 2
    total = square / 1e5
    side.feed("x", x)
    module = "norm" if rounding is None else None
    keep = rounding or (lambda a: a)
    told = [None] * 3 if rounding is None else [scaled, square, total]
    side.do(words[0], "h", lambda a: keep(a * 400), "x", module=module, exact=told[0])
    side.do(words[1], "s", lambda a: keep(a * a), "h", module=module, exact=told[1])
    side.do(words[2], "y", lambda a: keep(a / 1e5), "s", module=module, exact=told[2])
    return side


def test_an_overflow_is_told_with_its_range_and_its_cure() -> None:
    side = squared(half, ("mul", "square", "real_div"))
    reference = squared(None, ("aten::mul", "aten::pow", "aten::div"))
    found = located(side.recording({"y": "y"}), reference.recording({"y": "y"}), "float16")
    assert found["kind"] == "overflow"
    assert found["operation"]["name"] == "s"
    needed = float(np.abs(samples(7) * 400).max() ** 2)
    assert found["overflow"]["largest"] == pytest.approx(needed, rel=1e-3)
    assert found["overflow"]["largest"] > found["overflow"]["limit"] == 65504.0
    # What takes the squares is kept as well, or they would become infinities on the way to it.
    assert found["cure"] == {"keep_float": ["norm", "y"]}


def test_a_float16_artifact_that_is_wrong_without_rounding_has_no_cure() -> None:
    side, reference = Side(), Side()
    x = samples(9)
    side.feed("x", x)
    reference.feed("x", x)
    side.do("tanh", "y", lambda a: half(np.tanh(a)), "x", exact=np.tanh(x))
    reference.do("aten::erf", "y", lambda a: np.clip(a, -1, 1), "x", module="act")
    found = located(side.recording({"y": "y"}), reference.recording({"y": "y"}), "float16")
    assert found["found"]
    assert found["cure"] is None


def test_masks_of_the_least_number_hide_no_error() -> None:
    reference, side = Side(), Side()
    least = float(np.finfo(np.float32).min)
    mask = np.where(np.arange(6) < 4, 0, least).astype(np.float32)
    for one, factor in ((reference, 1.0), (side, 1.2)):
        one.feed("x", samples(4, 6))
        one.do(
            "MatMul",
            "scores",
            lambda x, f=factor: x @ samples(6, 6, seed=4)[0] * f,
            "x",
            weights=["w"],
        )
        one.do("Add", "masked", lambda s: s + mask, "scores")
        one.do("Softmax", "y", lambda s: np.exp(s - s.max(-1, keepdims=True)), "masked")
    found = located(side.recording({"y": "y"}), reference.recording({"y": "y"}))
    assert found["operation"]["name"] == "scores"


def test_errors_that_grow_by_and_by_are_located_where_they_grow_most() -> None:
    reference, side = Side(), Side()
    noise = samples(64, seed=9)
    for one, sizes in ((reference, (0, 0, 0, 0)), (side, (1e-5, 1e-5, 3e-5, 1.2e-4))):
        one.feed("x", samples(64))
        name = "x"
        for number, size in enumerate(sizes):
            name = one.do(
                "Mul", f"m{number}", lambda x, s=size * 1.5**number: x * 1.5 + s * noise, name
            )
    options = {"label": "a/b.c", "format": "onnx", "scheme": None, "outputs": ["y"]}
    outputs = {"y": "m3"}
    found = to_json(
        Localization(
            side.recording(outputs),
            reference.recording(outputs),
            options | {"bounds": {"signal_error": 1e-4}},
            {},
        ).location()
    )
    assert (found["operation"]["name"], found["gradual"]) == ("m3", True)


def test_what_is_wrong_at_once_is_not_said_to_grow() -> None:
    """An output may be wrong by how little it varies, with each of its elements near the original's."""
    reference, side = Side(), Side()
    for one, scale in ((reference, 1.0), (side, 1.02)):
        one.feed("x", samples(64))
        one.do("Sin", "v0", np.sin, "x")
        one.do("Mul", "v1", lambda x, s=scale: s * (x + 4), "v0")
        one.do("Add", "y", lambda a, b: a + 5e-4 * b, "v0", "v1")
    options: dict[str, Any] = {"label": "a/b.c", "format": "onnx", "scheme": None}
    options |= {"outputs": ["y"], "bounds": {}}
    mine, theirs = (one.recording({"y": "y"}) for one in (side, reference))
    found = to_json(Localization(mine, theirs, options, {"y": 1e-3}).location())
    assert (found["operation"]["name"], found["gradual"]) == ("v1", False)
    assert found["error"] > 1e-2
    assert [row["explained"] for row in found["table"]] == [True, False, True]


def test_a_runtime_that_rewrites_the_graph_is_told_from_the_graph() -> None:
    side = artifact().recording({"logits": "logits"})
    shipped = {"logits": side.given["logits"] * 1.5}
    told = Recording(
        side.runtime, side.steps, side.inputs, side.outputs, side.values, {}, side.given, shipped
    )
    found = located(told, original().recording({"logits": "v3"}))
    assert (found["found"], found["kind"]) == (True, "runtime")
