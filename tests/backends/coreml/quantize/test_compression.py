"""Weights as integers, on palettes and pruned: decoded bit for bit, and looked at for what was left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.backends.coreml.packages import convert, quantize
from tests.support.harness import ROOT
from tests.support.scripts import script

pytestmark = pytest.mark.toolchain

ALL = 48 * 16 * 9 + 32 * 768
"""The elements of both weights; biases stay as they are."""


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    done = script("coreml", Path(__file__).with_name("show_compression.py"), str(ROOT))
    return json.loads(done.splitlines()[-1])  # type: ignore[no-any-return]


def test_packages_give_bit_for_bit_what_their_decompression_does(shown: dict[str, Any]) -> None:
    assert {name: found["equal"] for name, found in shown.items()} == dict.fromkeys(shown, True)


def test_what_was_asked_for_is_there(shown: dict[str, Any]) -> None:
    for name, found in shown.items():
        if name != "uneven blocks":
            assert (found["compressed"], found["shortfall"]) == (ALL, None), name
    assert [shown[name]["levels"] for name in ("uniform 4", "kmeans 4", "kmeans 1")] == [16, 16, 2]
    assert shown["pruned kmeans 4"]["levels"] == 16
    assert shown["pruned"]["zeros"] == pytest.approx(0.5, abs=1e-3)
    assert shown["pruned int8"]["zeros"] == pytest.approx(0.75, abs=1e-3)


def test_more_bits_and_better_palettes_are_nearer(shown: dict[str, Any]) -> None:
    def error(name: str) -> float:
        return float(shown[name]["error"])

    assert error("int8") < 0.01 < error("kmeans 4") < error("uniform 4") < 0.15
    assert error("palette groups") < error("kmeans 4") < error("kmeans 1") < 1
    assert error("int4 blocks") < 0.15
    assert error("int8 with zero points") < 0.01
    assert error("int4 blocks with zero points") < 0.15
    # Zeros stay zeros, whatever the zero point.
    assert shown["pruned int8 with zero points"]["zeros"] == pytest.approx(0.75, abs=1e-3)


def test_blocks_that_do_not_divide_are_seen(shown: dict[str, Any]) -> None:
    assert shown["uneven blocks"]["shortfall"] == (
        "coremltools left weights as they are: `var_0_weight_to_fp16` (6,912)"
    )


def test_the_step_says_what_it_did_and_refuses_less(zoo: Path) -> None:
    source = convert(zoo, "cnn", scheme="float16", minimum_deployment_target="iOS18")
    done = quantize(zoo, "cnn", source, bits=4, palette="kmeans", sparsity=0.5)
    (note,) = [note for note in done.notes if "weights are" in note]
    assert note.startswith("5,888 of ")
    assert "pruned, 50.0% of them zero and on palettes of at most 16 numbers" in note
    uneven = quantize(zoo, "cnn", source, bits=4, block_size=24)
    assert uneven.field == "quantization.block_size"
    assert "(their channels are not a multiple of 24)" in uneven.message


def test_what_an_old_target_cannot_hold_is_refused(zoo: Path) -> None:
    source = convert(zoo, "cnn")
    refused = quantize(zoo, "cnn", source, bits=4)
    assert refused.message == "4 bits need iOS18 or later"
    assert refused.field == "options.minimum_deployment_target"
