"""Core ML packages made by the real converter: names, types, precision, bytes, and errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.backends.coreml.packages import convert, inspect, quantize
from tests.support.harness import Result
from tests.support.scripts import digest

pytestmark = pytest.mark.toolchain


@pytest.fixture(scope="module")
def cnn(zoo: Path) -> Result:
    """The small CNN as a float32 package."""
    return convert(zoo, "cnn")


def test_names_shapes_and_types_are_the_recipes(cnn: Result) -> None:
    found = inspect(cnn.artifact)
    assert found["inputs"] == [["image", [1, 1, 8, 8], "FLOAT32", []]]
    assert found["outputs"] == [["logits", [1, 10], "FLOAT32", []]]
    (image,) = cnn.io.inputs
    (logits,) = cnn.io.outputs
    assert (image.shape, image.dtype, image.layout) == ([1, 1, 8, 8], "float32", "NCHW")
    assert (logits.shape, logits.dtype, logits.artifact_name) == ([1, 10], "float32", None)
    assert any("size N is fixed at 1" in note for note in cnn.notes)
    # Nothing is said to be half where nobody asked for it.
    assert "cast" not in found["operations"]


def test_metadata_names_the_project_and_the_hint(zoo: Path) -> None:
    done = convert(zoo, "cnn", compute_units="cpu_and_ne", author="us", description="Digits")
    found = inspect(done.artifact)
    assert found["metadata"]["source"] == "modelbuild"
    assert found["metadata"]["modelbuild.project"] == "digits"
    assert found["metadata"]["modelbuild.compute_units"] == "cpu_and_ne"
    assert not any(key.endswith("conversion_date") for key in found["metadata"])
    assert (found["author"], found["description"], found["version"]) == ("us", "Digits", "1.2.0")


def test_conversion_is_quiet(cnn: Result) -> None:
    assert cnn.log == ""


def test_float16_keeps_float32_at_the_border(zoo: Path, cnn: Result) -> None:
    done = convert(zoo, "cnn", scheme="float16")
    found = inspect(done.artifact)
    assert found["inputs"][0][2] == found["outputs"][0][2] == "FLOAT32"
    weights = "Data/com.apple.CoreML/weights/weight.bin"
    small, large = ((d.artifact / weights).stat().st_size for d in (done, cnn))
    assert small < 0.6 * large
    assert not any("float16" in note for note in done.notes)


def test_recurrent_weights_that_stay_float32_are_said(zoo: Path) -> None:
    old = convert(zoo, "lstm", scheme="float16")
    assert any("float16 at iOS16" in note and "iOS17" in note for note in old.notes)
    new = convert(zoo, "lstm", scheme="float16", minimum_deployment_target="iOS17")
    assert not any("float16" in note for note in new.notes)


@pytest.mark.parametrize("source", [".pt", ".pt2", "-dynamic.pt2"])
def test_two_outputs_of_any_source_keep_names_and_order(zoo: Path, source: str) -> None:
    done = convert(zoo, "segment", suffix=source)
    assert [(p.name, p.shape) for p in done.io.outputs] == [
        ("mask", [1, 2, 12, 20]),
        ("edges", [1, 4]),
    ]
    assert [f[0] for f in inspect(done.artifact)["outputs"]] == ["mask", "edges"]


def test_64_bit_integers_become_32_and_are_said(zoo: Path) -> None:
    done = convert(zoo, "text")
    ids, weight = done.io.inputs
    assert (ids.dtype, weight.dtype) == ("int32", "float32")
    assert [p.dtype for p in done.io.outputs] == ["float32", "int32"]
    assert "input `ids` is int32 in the Core ML package, int64 in the model" in done.notes
    assert "output `label` is int32 in the Core ML package, int64 in the model" in done.notes
    assert [f[2] for f in inspect(done.artifact)["inputs"]] == ["INT32", "FLOAT32"]


@pytest.mark.parametrize("source", [".pt", "-dynamic.pt2"])
def test_flexible_sizes(zoo: Path, source: str) -> None:
    done = convert(zoo, "segment", suffix=source, flexible=True)
    assert inspect(done.artifact)["inputs"][0][3][0] == [1, 64]
    assert done.io.inputs[0].shape == ["N", 3, 12, 20]
    assert done.io.outputs[0].shape == ["N", 2, 12, 20]
    assert not any("fixed" in note for note in done.notes)


def test_equal_inputs_give_equal_bytes(zoo: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(zoo, moved)
    first = convert(zoo, "segment", scheme="float16")
    second = convert(moved, "segment", scheme="float16", hash_seed="7")
    assert digest(first.artifact) == digest(second.artifact)
    assert digest(first.outputs["io"]) == digest(second.outputs["io"])
    float32 = [convert(zoo, "lstm") for _ in range(2)]
    small = [quantize(zoo, "lstm", d) for d in float32]
    assert digest(small[0].artifact) == digest(small[1].artifact)


def test_int8_weights(zoo: Path, cnn: Result) -> None:
    done = quantize(zoo, "cnn", cnn)
    assert "constexpr_affine_dequantize" in inspect(done.artifact)["operations"]
    (note,) = [n for n in done.notes if "int8" in n]
    # 4,608 of the second convolution and 1,280 of the head; the first convolution is too small.
    assert note.startswith("5,888 of ")
    assert inspect(done.artifact)["metadata"]["modelbuild.project"] == "digits"
    assert done.io == cnn.io


def test_int8_weights_of_the_newest_target(zoo: Path) -> None:
    source = convert(zoo, "cnn", minimum_deployment_target="iOS18")
    done = quantize(zoo, "cnn", source)
    assert any(n.startswith("5,888 of ") for n in done.notes)


def test_keep_float(zoo: Path, cnn: Result) -> None:
    done = quantize(zoo, "cnn", cnn, keep_float=["head.*"])
    assert any(n.startswith("4,608 of ") and "head_weight" in n for n in done.notes)
    wrong = quantize(zoo, "cnn", cnn, keep_float=["tail.*"])
    assert wrong.field == "quantization.keep_float"
    assert "head_weight" in wrong.message


def test_nothing_to_quantize_is_an_error(zoo: Path) -> None:
    source = convert(zoo, "text")
    first = quantize(zoo, "text", source, keep_float=["*"])
    assert "nothing was compressed" in first.message


def test_int8_weights_need_ios16(zoo: Path) -> None:
    source = convert(zoo, "cnn", minimum_deployment_target="iOS15")
    done = quantize(zoo, "cnn", source)
    assert done.field == "options.minimum_deployment_target"


def test_an_unsupported_operator_is_named_with_its_module(zoo: Path) -> None:
    # It cannot be traced to anything else: this is what the converter lacks.
    done = convert(zoo, "unsupported")
    assert "`special_bessel_j0` in `block.1`" in done.message
    exported = convert(zoo, "unsupported", suffix=".pt2")
    assert "special_bessel_j0" in exported.message
    assert "capture: trace" in exported.hint


def test_a_name_that_core_ml_cannot_have_is_declared(zoo: Path) -> None:
    ports = json.loads((zoo / "cnn.options.json").read_text())["ports"]
    ports[0]["name"] = "image.0"
    done = convert(zoo, "cnn", ports=ports)
    assert (done.io.inputs[0].name, done.io.inputs[0].artifact_name) == (
        "image.0",
        "image_0",
    )
    assert inspect(done.artifact)["inputs"][0][0] == "image_0"
    assert any("image_0" in note for note in done.notes)


def test_bool_inputs_are_refused(zoo: Path) -> None:
    ports = json.loads((zoo / "cnn.options.json").read_text())["ports"]
    ports[0]["dtype"] = "bool"
    done = convert(zoo, "cnn", ports=ports)
    assert done.field == "inputs.image.dtype"


@pytest.mark.parametrize(
    ("changed", "message", "field"),
    [
        ({"dtype": "bool"}, "Core ML has no bool inputs, and `image` is one", "dtype"),
        ({"shape": []}, "Core ML has no inputs without axes, and `image` is one", "shape"),
    ],
)
def test_inputs_that_core_ml_does_not_have(
    zoo: Path, changed: dict[str, Any], message: str, field: str
) -> None:
    told = json.loads((zoo / "cnn.options.json").read_text())
    refused = convert(zoo, "cnn", ports=[told["ports"][0] | changed])
    assert (refused.message, refused.field) == (message, f"inputs.image.{field}")
