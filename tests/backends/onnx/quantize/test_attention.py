"""Transformers and recurrent layers keep what they compute, whatever the scheme."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import buildsys
from tests.processor import in_8_bits
from tests.support.scripts import script

pytestmark = pytest.mark.toolchain

MAKER = Path(__file__).with_name("attention_onnx.py")
CHANNELS = {"bits": 8, "per_channel": True}
HALF = {"scheme": "float16"}
PROFILES: dict[str, dict[str, Any]] = {
    "float16": HALF,
    "weight-only": {"scheme": "weight-only", **CHANNELS},
    "dynamic": {"scheme": "dynamic", **CHANNELS},
    "static": {"scheme": "static", **CHANNELS},
    "entropy": {"scheme": "static", **CHANNELS, "calibration": {"method": "entropy"}},
    "mixed": {"scheme": "mixed", "default": None, "layers": [["*", HALF]]},
    "transposes_kept": {**HALF, "keep_float": ["type:[TP]*"]},
    # Two operators in a row, and several that read one tensor.
    "kept": {**HALF, "keep_float": ["*[13579]"]},
}
LIMITS = {"float16": 0.005, "mixed": 0.005, "kept": 0.005}
TRANSFORMERS = ("least", "infinite", "thousands")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("quantized")
    told = script(
        "onnx", MAKER, str(Path(buildsys.__file__).parent), str(folder), json.dumps(PROFILES)
    )
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    return found


@pytest.mark.parametrize("model", [*TRANSFORMERS, "gru", "residual"])
@pytest.mark.parametrize("profile", PROFILES)
def test_errors_are_small(made: dict[str, Any], model: str, profile: str) -> None:
    limit = LIMITS.get(profile) or in_8_bits(0.06)
    assert 0.0 < made[model][profile]["signal_error"] < limit, made[model][profile]


@pytest.mark.parametrize("model", TRANSFORMERS)
def test_attention_and_norms_stay_float_beside_integer_products(
    made: dict[str, Any], model: str
) -> None:
    found = made[model]["static"]
    assert found["of_integers"]["MatMul"] == 7
    # A product that floats follow is not rounded.
    assert set(found["of_integers"]) <= {"MatMul", "Transpose", "Gather", "Add"}
    assert "1 Softmax" in found["notes"][0]
    assert found["notes"][0].endswith("which integers are too coarse for")


def test_sums_between_convolutions_are_integers(made: dict[str, Any]) -> None:
    found = made["residual"]["static"]
    assert found["of_integers"]["Add"] == 1
    assert found["of_integers"]["Conv"] == 3
    # No range holds minus infinity.
    beyond = "float32 stay 1 MaxPool, 1 Pad, with a mask or minus infinity among their numbers"
    assert beyond in found["notes"]


def test_what_would_crash_or_lose_positions_in_float16_is_told(made: dict[str, Any]) -> None:
    assert any("#28392" in note for note in made["gru"]["float16"]["notes"])
    told = "3 operators stay float32: they compute on positions"
    assert told in made["least"]["float16"]["notes"]


def test_a_file_that_kills_the_runtime_is_an_error_with_the_way_out(made: dict[str, Any]) -> None:
    found = made["gru_hidden"]["float16"]
    # Other processors than x86 load it.
    assert found.get("signal_error", 1.0) < 0.005 or (
        found["error"].startswith(
            "ONNX Runtime crashes as it loads the model in float16 (status -11)"
        )
        and "type:Transpose" in found["hint"]
    ), found
    assert made["gru_hidden"]["transposes_kept"]["signal_error"] < 0.005
