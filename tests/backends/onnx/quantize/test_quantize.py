"""ONNX files are quantized by profiles: what became small, how far it errs, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import buildsys
from tests.processor import in_8_bits
from tests.support.scripts import script

pytestmark = pytest.mark.toolchain

MAKER = Path(__file__).with_name("quantize_onnx.py")
W8 = {"scheme": "weight-only", "bits": 8, "per_channel": True}
W4 = {**W8, "bits": 4}
DYNAMIC = {"scheme": "dynamic", "bits": 8, "per_channel": True}
STATIC = {"scheme": "static", "bits": 8, "per_channel": True}


def static(method: str, **more: Any) -> dict[str, Any]:
    calibration = {"method": method}
    if "percentile" in more:
        calibration["percentile"] = more.pop("percentile")
    return {**STATIC, "calibration": calibration, **more}


def mixed(default: Any, *layers: Any) -> dict[str, Any]:
    return {"scheme": "mixed", "default": default, "layers": list(layers)}


PROFILES: dict[str, dict[str, Any]] = {
    "half": {"scheme": "float16"},
    "half_kept": {"scheme": "float16", "keep_float": ["head.*", "type:LSTM"]},
    "w8": W8,
    "w8_tensor": {**W8, "per_channel": False, "symmetric": False},
    "w4": W4,
    "w4_blocks": {**W4, "block_size": 16, "symmetric": False},
    "dynamic": DYNAMIC,
    "best": STATIC,
    "same": STATIC,
    "min_max": static("min-max", activations="int8"),
    "average": static("moving-average"),
    "percentile": static("percentile", percentile=90.0, symmetric=True),
    "entropy": static("entropy"),
    "mse": static("mse", per_channel=False),
    "wide": static("min-max", activations="int16"),
    "four": static("min-max", bits=4),
    "mixed": mixed(
        static("min-max"),
        ["head.*", {**W4, "block_size": 8}],
        ["type:LSTM", DYNAMIC],
        ["middle.weight", None],
    ),
    "all_kept": {**W8, "keep_float": ["*"]},
    "no_layer": {**W8, "keep_float": ["haed.*"]},
    "no_type": mixed(W8, ["type:Convolution", None]),
    "wide_entropy": static("entropy", activations="int16"),
    "two_ways": mixed(static("min-max"), ["head.*", static("mse")]),
}
MODEL_WEIGHTS = {"body.0.weight", "lstm.W", "lstm.R", "middle.weight", "head.weight"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("quantized")
    package = str(Path(buildsys.__file__).parent)
    told = script("onnx", MAKER, package, str(folder), json.dumps(PROFILES))
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    found["same_bytes"] = [(folder / n / "model.onnx").read_bytes() for n in ("best", "same")]
    return found


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("half", 1e-5, 2e-3),
        ("w8", 1e-3, 0.02),
        ("w8_tensor", 1e-3, 0.03),
        ("w4", 0.02, 0.3),
        ("w4_blocks", 0.02, 0.3),
        ("dynamic", 1e-3, 0.03),
        ("best", 1e-3, 0.04),
        ("min_max", 1e-3, 0.04),
        ("average", 1e-3, 0.2),
        ("entropy", 1e-3, 0.1),
        ("mse", 1e-3, 0.05),
        ("wide", 1e-3, 0.02),
        ("four", 0.02, 0.3),
        ("mixed", 1e-3, 0.2),
    ],
)
def test_errors_are_those_of_the_scheme(
    made: dict[str, Any], name: str, least: float, most: float
) -> None:
    of_8_bits = name in ("dynamic", "best", "min_max", "average", "entropy", "mse")
    most = in_8_bits(most) if of_8_bits else most
    assert least < made[name]["error_ratio"] < most


@pytest.mark.parametrize("name", ["w8", "w8_tensor", "w4", "w4_blocks", "dynamic", "best", "four"])
def test_every_weight_is_read_back_within_half_a_step(made: dict[str, Any], name: str) -> None:
    steps = made[name]["steps"]
    assert set(steps) >= MODEL_WEIGHTS
    # Of 4 bits around zero, the far end of the other sign is clipped by up to a step.
    limit = 1.01 if name in ("w4", "four") else 0.51
    assert all(steps[weight] <= limit for weight in MODEL_WEIGHTS), steps


def test_matrices_of_4_bits_are_those_of_the_library(made: dict[str, Any]) -> None:
    symmetric, shifted = made["library"]
    # A scale may be rounded another way in its last bit.
    assert symmetric == {"integers": 0, "scales": pytest.approx(0, abs=2e-7)}
    assert shifted == {"integers": 0, "scales": pytest.approx(0, abs=2e-7), "zeros": 0}


def test_types_and_scales(made: dict[str, Any]) -> None:
    assert {made["w8"]["storage"][name] for name in MODEL_WEIGHTS} == {"int8"}
    assert {made["w8_tensor"]["storage"][name] for name in MODEL_WEIGHTS} == {"uint8"}
    assert {made["w4"]["storage"][name] for name in MODEL_WEIGHTS} == {"int4"}
    assert {made["w4_blocks"]["storage"][name] for name in MODEL_WEIGHTS} == {"uint4"}
    assert {made["four"]["storage"][name] for name in MODEL_WEIGHTS} == {"int4"}
    assert made["w8"]["scales"]["body.0.weight"] == [16, 1, 1, 1]
    assert made["w8"]["scales"]["middle.weight"] == [1, 32]
    assert made["w8"]["scales"]["head.weight"] == [5, 1]
    assert made["w8_tensor"]["scales"]["head.weight"] == [1, 1]
    # Blocks along what is summed over; the reader spreads them out.
    assert made["w4_blocks"]["scales"]["middle.weight"] == [24, 32]
    assert made["w4_blocks"]["scales"]["body.0.weight"] == [16, 1, 1, 1]
    assert "blocks, which are for matrices" in " ".join(made["w4_blocks"]["notes"])
    assert {n: made[n]["opset"] for n in ("w8", "w4", "wide", "best")} == {
        "w8": 17, "w4": 21, "wide": 21, "best": 17
    }  # fmt: skip
    assert made["dynamic"]["operators"]["DynamicQuantizeLSTM"] == 1
    assert made["dynamic"]["operators"]["MatMulInteger"] == 2
    assert made["w4"]["bytes"] < made["w8"]["bytes"] < made["half"]["bytes"]


def test_what_has_no_integers_keeps_its_arithmetic_and_says_so(made: dict[str, Any]) -> None:
    said = (
        "weights as integers, arithmetic in float: ONNX Runtime has no such operators of integers"
    )
    assert made["dynamic"]["notes"] == [f"1 Conv: {said}"]
    assert f"1 LSTM: {said}" in made["best"]["notes"]


def test_one_method_is_one_way_to_take_ranges(made: dict[str, Any]) -> None:
    def widths(name: str) -> dict[str, float]:
        tensors = made[name]["ranges"]["tensors"]
        return {t["name"]: t["ranges"][0][1] - t["ranges"][0][0] for t in tensors}

    whole = widths("min_max")
    assert len(whole) >= 4
    for name in ("average", "percentile", "entropy", "mse"):
        found = widths(name)
        assert all(found[tensor] <= whole[tensor] * 1.0001 for tensor in found if tensor in whole)
        assert found != {tensor: whole.get(tensor) for tensor in found}, name
        assert made[name]["ranges"]["method"] == name.replace("average", "moving-average")
        assert made[name]["ranges"]["runs"] == 16
    assert widths("percentile")["image"] < 0.5 * whole["image"]
    tried = made["best"]["ranges"]["tried"]
    assert list(tried) == ["min-max", "moving-average", "percentile", "mse"]
    assert made["best"]["ranges"]["method"] == min(tried, key=tried.__getitem__)
    assert made["best"]["ranges"]["runs"] == 12


def test_entropy_has_nothing_to_clip_of_16_bits_and_says_so(made: dict[str, Any]) -> None:
    assert any("clips nothing" in note for note in made["wide_entropy"]["notes"])


def test_layers_get_what_is_theirs(made: dict[str, Any]) -> None:
    found = made["mixed"]["storage"]
    assert found["body.0.weight"] == "int8"
    assert found["head.weight"] == "int4"
    assert found["middle.weight"] == "float32"
    assert made["mixed"]["operators"]["DynamicQuantizeLSTM"] == 1
    assert any(note.endswith("float32 stay those of 1 MatMul") for note in made["mixed"]["notes"])
    half = made["half_kept"]["storage"]
    assert (half["head.weight"], half["lstm.W"]) == ("float32", "float32")
    assert (half["body.0.weight"], half["middle.weight"]) == ("float16", "float16")


def test_equal_inputs_give_equal_bytes(made: dict[str, Any]) -> None:
    first, second = made["same_bytes"]
    assert first == second


@pytest.mark.parametrize(
    ("name", "message", "field"),
    [
        ("all_kept", "nothing was quantized: no weight became smaller", "quantization"),
        ("no_layer", "`haed.*` fits no operator of the ONNX model", "quantization.keep_float"),
        ("no_type", "`type:Convolution` fits no operator of the ONNX model", "quantization.layers"),
        ("two_ways", "layers of one ONNX file cannot have different `calibration`", "quantization.layers"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(
    made: dict[str, Any], name: str, message: str, field: str
) -> None:
    assert made[name]["error"].startswith(message)
    assert made[name]["field"] == field
    assert made[name]["hint"]
