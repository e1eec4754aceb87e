"""Quantized OpenVINO models: what became small, how far they err, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from tests.backends.openvino.steps import census, convert, error, quantize, run
from tests.processor import in_8_bits
from tests.support.harness import Result
from tests.support.scripts import digest

pytestmark = pytest.mark.toolchain


@pytest.fixture(scope="module")
def cnn(models: Path) -> Result:
    return convert(models, "cnn")


@pytest.fixture(scope="module")
def static(models: Path, cnn: Result) -> Result:
    return quantize(models, "cnn", cnn, "static")


@pytest.mark.parametrize(
    ("scheme", "limit", "ratio", "said"),
    [
        ("float16", 3e-3, 0.55, "96% of the constant numbers are float16: 4,928 float16"),
        ("weight-only", 4e-2, 0.3, "97% of the constant numbers are int8"),
    ],
)
def test_schemes_without_data(
    models: Path, cnn: Result, scheme: str, limit: float, ratio: float, said: str
) -> None:
    done = quantize(models, "cnn", cnn, scheme)
    assert 0 < error(models, "cnn", run(models, "cnn", done).arrays()) < limit
    assert done.io == cnn.io
    before, after = (r.artifact.joinpath("model.bin").stat().st_size for r in (cnn, done))
    assert after < ratio * before
    assert done.notes[0].startswith(said)
    # The CPU would quantize the activations too, unasked.
    options = 'DYNAMIC_QUANTIZATION_GROUP_SIZE value="0"'
    assert (options in (done.artifact / "model.xml").read_text()) == (scheme == "weight-only")


def test_static(models: Path, cnn: Result, static: Result) -> None:
    assert error(models, "cnn", run(models, "cnn", static).arrays()) < 0.15
    assert static.io == cnn.io
    # The correction of biases makes it worse, and is not taken for that.
    assert "min-max with biases corrected 0.0" in static.notes[0]
    assert static.notes[0].startswith(
        "ranges of activations by min-max: signal error on 3 held-out"
    )
    assert "moving-average 0." in static.notes[0]
    assert "entropy 0." in static.notes[0]
    ranges = json.loads(static.outputs["ranges"].read_text())
    assert ranges["method"] == "min-max"
    assert ranges["runs"] == 9
    assert len(ranges["tensors"]) == 4
    assert census(static.artifact)["FakeQuantize"] == 4
    assert "nncf" not in (static.artifact / "model.xml").read_text()


def test_ranges_as_they_are_asked_for(models: Path, cnn: Result, static: Result) -> None:
    def widths(made: Result) -> list[float]:
        found = json.loads(made.outputs["ranges"].read_text())
        return [high - low for tensor in found["tensors"] for low, high in tensor["ranges"]]

    def made(method: str, **more: float) -> Result:
        return quantize(models, "cnn", cnn, "static", calibration={"method": method, **more})

    whole, cut = made("min-max"), made("percentile", percentile=90.0)
    assert cut.notes[0] == "ranges of activations by percentile, as asked for"
    # All of the data, not three quarters: nothing is held out to judge by.
    assert json.loads(whole.outputs["ranges"].read_text())["runs"] == 12
    assert all(a < 0.9 * b for a, b in zip(widths(cut), widths(whole), strict=True))
    assert all(a <= b for a, b in zip(widths(made("entropy")), widths(whole), strict=True))
    assert error(models, "cnn", run(models, "cnn", whole).arrays()) < 0.15
    assert error(models, "cnn", run(models, "cnn", cut).arrays()) > 0.15


def test_one_scale_a_tensor_and_ranges_with_zero_points(models: Path, cnn: Result) -> None:
    done = quantize(models, "cnn", cnn, "static", per_channel=False, symmetric=False)
    assert error(models, "cnn", run(models, "cnn", done).arrays()) < 0.15
    assert "5,072 int8" in done.notes[-1]
    ranges = json.loads(done.outputs["ranges"].read_text())["tensors"][0]["ranges"]
    assert ranges[0][0] != pytest.approx(-ranges[0][1], rel=0.01)


def test_four_bits(models: Path, cnn: Result) -> None:
    text = convert(models, "text")
    done = quantize(models, "text", text, "weight-only", bits=4, block_size=8)
    assert error(models, "text", run(models, "text", done).arrays()) < 0.2
    xml = (done.artifact / "model.xml").read_text()
    # The embedding, which is the first layer, and the head, which is the last: in blocks of 8.
    assert [xml.count(f'element_type="i4" shape="{s}"') for s in ("50,2,8", "3,2,8")] == [1, 1]
    assert "int8" not in " ".join(done.notes)
    uneven = quantize(models, "text", text, "weight-only", bits=4, block_size=5)
    assert uneven.field == "quantization.block_size"
    assert uneven.message.startswith("blocks of 5 do not divide the inputs of ")
    mostly = quantize(models, "cnn", cnn, "weight-only", bits=4)
    assert mostly.notes[-1].startswith("4,752 weights have 8 bits, not 4")
    none = quantize(models, "cnn", cnn, "weight-only", bits=4, keep_float=["type:MatMul"])
    assert "no weight became int4 or uint4: only matrices" in none.message


def test_layers_with_profiles_of_their_own(models: Path, cnn: Result, static: Result) -> None:
    int8 = {"scheme": "static", "bits": 8, "per_channel": True}
    small = {"scheme": "weight-only", "bits": 4, "per_channel": True}
    half = {"scheme": "float16"}
    layers: list[Any] = [["head.*", small], ["body.3.*", half]]
    done = quantize(models, "cnn", cnn, "mixed", default=int8, layers=layers, calibrated=True)
    assert error(models, "cnn", run(models, "cnn", done).arrays()) < 0.5
    xml = (done.artifact / "model.xml").read_text()
    shapes = {"i8": "16,1,3,3", "f16": "32,16,3,3", "i4": "10,32"}
    for kind, shape in shapes.items():
        assert xml.count(f'element_type="{kind}" shape="{shape}"') == 1, kind
    assert 0 < census(done.artifact)["FakeQuantize"] < census(static.artifact)["FakeQuantize"]
    layers[1][0] = "body.0.*"  # Its 144 numbers are too few for float16.
    done = quantize(models, "cnn", cnn, "mixed", default=int8, layers=layers, calibrated=True)
    assert done.message.startswith("nothing was quantized by the `float16` of ")


def test_static_with_integer_inputs_and_several_outputs(models: Path) -> None:
    float_one = convert(models, "text")
    done = quantize(models, "text", float_one, "static")
    assert done.io == float_one.io
    assert error(models, "text", run(models, "text", done).arrays()) < 0.1


@pytest.fixture(scope="module")
def memory(models: Path) -> Result:
    return convert(models, "memory")


def test_branches(models: Path) -> None:
    done = quantize(models, "branches", convert(models, "branches"), "static")
    assert 0 < error(models, "branches", run(models, "branches", done).arrays()) < 0.1
    assert census(done.artifact)["FakeQuantize"] >= 2


def test_recurrent_layers_compute_in_float_with_weights_of_integers(
    models: Path, memory: Result
) -> None:
    done = quantize(models, "memory", memory, "static")
    assert error(models, "memory", run(models, "memory", done).arrays()) < in_8_bits(0.05)
    (said,) = [note for note in done.notes if "arithmetic in float" in note]
    assert said.startswith(
        "1 GRUSequence, 1 LSTMSequence: weights as integers, arithmetic in float"
    )
    assert "666 int8" in done.notes[-1]  # All but biases and scales.
    assert census(done.artifact)["FakeQuantize"] == 2  # Of the mean and the matrix.
    kept = quantize(
        models, "memory", memory, "static", keep_float=["type:GRUSequence"], per_channel=False
    )
    assert "1 LSTMSequence: weights as integers, arithmetic in float" in kept.notes[1]
    assert "414 int8" in kept.notes[-1]
    others = ["type:MatMul", "type:ReduceMean"]
    alone = quantize(models, "memory", memory, "static", keep_float=others)
    assert "calibration decides nothing: no activation becomes integers" in alone.notes


def test_recurrent_layers_of_weight_only(models: Path, memory: Result) -> None:
    done = quantize(models, "memory", memory, "weight-only", symmetric=False)
    assert error(models, "memory", run(models, "memory", done).arrays()) < 0.05
    assert done.notes[0] == (
        "1 GRUSequence, 1 LSTMSequence: the weights' integers lie around zero, without zero points"
    )
    assert "636 int8" in done.notes[-1]


def test_equal_inputs_give_equal_bytes(models: Path, cnn: Result, static: Result) -> None:
    again = quantize(models, "cnn", cnn, "static", threads=1, hash_seed="9")
    assert digest(again.artifact) == digest(static.artifact)


def test_keep_float(models: Path, cnn: Result, static: Result) -> None:
    done = quantize(models, "cnn", cnn, "static", keep_float=["head.*"])
    assert census(done.artifact)["FakeQuantize"] < census(static.artifact)["FakeQuantize"]
    assert "4,752 int8" in done.notes[-1]  # All but the head's 320.
    wrong = quantize(models, "cnn", cnn, "float16", keep_float=["haed.*"])
    assert wrong.field == "quantization.keep_float"
    assert "`haed.*` fits no layer" in wrong.message
    assert "`head.Gemm.WithoutBiases`" in wrong.message


def test_a_model_without_weights_is_refused(models: Path) -> None:
    done = quantize(models, "bare", convert(models, "bare"), "weight-only")
    assert done.message.startswith("nothing was quantized: the model has the same operations")
    assert not done.outputs["artifact"].exists()


def test_what_openvino_cannot_do_is_refused(models: Path, cnn: Result, tmp_path: Path) -> None:
    done = quantize(models, "cnn", cnn, "weight-only", per_channel=False)
    assert done.field == "quantization.per_channel"
    done = quantize(models, "cnn", cnn, "weight-only", block_size=8)
    assert done.message == "OpenVINO's weights of 8 bits have a scale a channel, none a block"
    profiles = [{"scheme": "static", "bits": 8, "per_channel": each} for each in (True, False)]
    done = quantize(
        models, "cnn", cnn, "mixed", default=profiles[0], layers=[["head.*", profiles[1]]]
    )
    assert done.field == "quantization.layers"
    arrays.save(tmp_path / "cnn.samples.npz", {"image": np.zeros((4, 1, 9, 8), np.float32)})
    (tmp_path / "cnn.options.json").write_bytes((models / "cnn.options.json").read_bytes())
    done = quantize(tmp_path, "cnn", cnn, "static")
    assert done.field == "quantization.calibration"
    assert "[4, 1, 9, 8]" in done.message
    assert "[n, 1, 8, 8]" in done.message
