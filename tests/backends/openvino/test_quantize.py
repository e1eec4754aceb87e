"""Quantized OpenVINO models: what became small, how far they err, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from buildsys.backends.kit import arrays
from tests.backends.coreml_tflite_harness import digest
from tests.backends.harness import Result
from tests.backends.openvino.steps import census, convert, error, quantize, run

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
    assert "mean min-max 0." in static.notes[0]
    assert census(static.artifact)["FakeQuantize"] == 4
    assert "nncf" not in (static.artifact / "model.xml").read_text()


def test_static_with_integer_inputs_and_several_outputs(models: Path) -> None:
    float_one = convert(models, "text")
    done = quantize(models, "text", float_one, "static")
    assert done.io == float_one.io
    assert error(models, "text", run(models, "text", done).arrays()) < 0.1


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
    arrays.save(tmp_path / "cnn.samples.npz", {"image": np.zeros((4, 1, 9, 8), np.float32)})
    (tmp_path / "cnn.options.json").write_bytes((models / "cnn.options.json").read_bytes())
    done = quantize(tmp_path, "cnn", cnn, "static")
    assert done.field == "quantization.calibration"
    assert "[4, 1, 9, 8]" in done.message
    assert "[n, 1, 8, 8]" in done.message
