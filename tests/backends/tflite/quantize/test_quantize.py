"""Quantized TFLite files: what became small, how far they err, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.backends.tflite.steps import errors, quantize, samples
from tests.profile import by_day
from tests.support.describing import describe
from tests.support.harness import Result
from tests.support.scripts import digest

pytestmark = pytest.mark.toolchain


@pytest.mark.parametrize(
    ("scheme", "limit", "ratio"),
    [("float16", 3e-3, 0.65), ("weight-only", 4e-2, 0.45), ("dynamic", 5e-2, 0.45)],
)
@pytest.mark.parametrize("source", by_day(["cnn-direct", "cnn-onnx", "lstm-direct", "lstm-onnx"]))
def test_schemes_without_data(
    zoo: Path,
    tmp_path: Path,
    floats: dict[str, Result],
    source: str,
    scheme: str,
    limit: float,
    ratio: float,
) -> None:
    model = source.partition("-")[0]
    done = quantize(zoo, model, floats[source], scheme)
    assert max(errors(zoo, model, done, tmp_path).values()) < limit
    assert done.io == floats[source].io
    if model == "cnn":  # An LSTM's graph outweighs the weights of one as small as this.
        size = [d.artifact.stat().st_size for d in (done, floats[source])]
        assert size[0] < ratio * size[1]
    kind = "float16" if scheme == "float16" else "int8"
    assert any(f"are {kind}" in note for note in done.notes)


@pytest.mark.parametrize(("scheme", "ratio"), [("float16", 0.52), ("dynamic", 0.28)])
def test_a_file_with_real_weights_holds_them_within(
    zoo: Path, tmp_path: Path, floats: dict[str, Result], scheme: str, ratio: float
) -> None:
    """From 256 KiB on the quantizer writes weights behind the tables, where few readers look."""
    source = floats["heavy-direct"]
    done = quantize(zoo, "heavy", source, scheme)
    assert max(errors(zoo, "heavy", done, tmp_path).values()) < 5e-2
    assert done.artifact.stat().st_size < ratio * source.artifact.stat().st_size
    assert any("99% of the constant numbers are" in note for note in done.notes), done.notes
    # Metadata are written into a file by writing all of it again.
    told = describe("tflite", "tflite", done, labels={"scores": list("abcdefgh")})
    assert told.bytes[4:8] == b"TFL3"
    assert max(errors(zoo, "heavy", told, tmp_path).values()) < 5e-2


@pytest.mark.parametrize("source", ["cnn-direct", "cnn-onnx", "segment-onnx"])
def test_static(zoo: Path, tmp_path: Path, floats: dict[str, Result], source: str) -> None:
    model = source.partition("-")[0]
    inputs, _ = samples(zoo, model)
    done = quantize(zoo, model, floats[source], "static", inputs)
    assert max(errors(zoo, model, done, tmp_path).values()) < 0.3
    # The border stays float32, and which estimate of the ranges won is said with its figures.
    assert done.io == floats[source].io
    (note,) = [n for n in done.notes if n.startswith("ranges of activations by ")]
    assert "on 4 held-out runs" in note
    assert "moving-average 0." in note


def test_equal_inputs_give_equal_bytes(zoo: Path, floats: dict[str, Result]) -> None:
    inputs, _ = samples(zoo, "cnn")
    for scheme, data in (("dynamic", None), ("float16", None), ("static", inputs)):
        made = [quantize(zoo, "cnn", floats["cnn-onnx"], scheme, data, seed) for seed in ("0", "9")]
        assert digest(made[0].artifact) == digest(made[1].artifact)


def test_keep_float(zoo: Path, floats: dict[str, Result]) -> None:
    source = floats["cnn-onnx"]
    done = quantize(zoo, "cnn", source, "dynamic", keep_float=["*PartitionedCall*"])
    # 1,280 of the head and 58 biases.
    assert any("1,338 float32" in note for note in done.notes), done.notes
    wrong = quantize(zoo, "cnn", source, "dynamic", keep_float=["head.*"])
    assert wrong.field == "quantization.keep_float"
    assert "PartitionedCall" in wrong.message


def test_keeping_all_is_an_error(zoo: Path, floats: dict[str, Result]) -> None:
    done = quantize(zoo, "cnn", floats["cnn-onnx"], "dynamic", keep_float=["*Call*", "model*"])
    assert "nothing was quantized" in done.message
    assert not done.outputs["artifact"].exists()


def test_calibration_data_must_fit(zoo: Path, floats: dict[str, Result]) -> None:
    source = floats["cnn-onnx"]
    wrong = {"image": np.zeros((4, 1, 9, 8), np.float32)}
    done = quantize(zoo, "cnn", source, "static", wrong)
    assert done.field == "quantization.calibration"
    assert "[4, 1, 9, 8]" in done.message
    assert "[1, 1, 8, 8]" in done.message
    absent = {"picture": np.zeros((4, 1, 8, 8), np.float32)}
    done = quantize(zoo, "cnn", source, "static", absent)
    assert "`image`" in done.message
    assert "`picture`" in done.message


def test_outputs_that_others_read_stay_float32(
    zoo: Path, tmp_path: Path, floats: dict[str, Result]
) -> None:
    # The linear layer makes such an output, of integers; what LiteRT has no integers of reads it as well.
    inputs, _ = samples(zoo, "text")
    done = quantize(zoo, "text", floats["text-direct"], "static", inputs)
    assert max(errors(zoo, "text", done, tmp_path).values()) < 0.2
    # All of the weights became integers, or a note would tell which did.
    assert not any(" float32, " in note for note in done.notes), done.notes


def test_a_loop_cannot_be_calibrated(zoo: Path, floats: dict[str, Result]) -> None:
    inputs, _ = samples(zoo, "lstm")
    done = quantize(zoo, "lstm", floats["lstm-onnx"], "static", inputs)
    assert "WHILE" in done.message
    assert "dynamic" in done.hint
