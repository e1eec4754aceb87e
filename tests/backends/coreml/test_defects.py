"""The defects of coremltools that `diagnosis.defects` tells of are there, in the pinned version.

Where one of these fails after an update, the converter has been mended: its entry goes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import ROOT
from tests.support.scripts import script

pytestmark = pytest.mark.toolchain


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    done = script("coreml", Path(__file__).with_name("show_defects.py"), str(ROOT))
    return json.loads(done.splitlines()[-1])  # type: ignore[no-any-return]


def test_a_spread_without_a_dim_loses_its_correction(shown: dict[str, Any]) -> None:
    ratios = shown["ratios"]
    assert [ratios[f"{way} std()"] for way in ("trace", "export")] == [0.9129, 0.9129]  # √(5/6)
    assert [ratios[f"{way} var()"] for way in ("trace", "export")] == [0.8333, 0.8333]  # 5/6


def test_the_ways_out_are_right(shown: dict[str, Any]) -> None:
    for spelling in ("std(correction=1)", "flatten().var(0)"):
        assert [shown["ratios"][f"{way} {spelling}"] for way in ("trace", "export")] == [1.0, 1.0]


def test_torchscript_takes_every_correction_for_one(shown: dict[str, Any]) -> None:
    ratios = shown["ratios"]
    assert ratios["trace var((0, 1), correction=2)"] == 0.8  # 4/5
    assert ratios["export var((0, 1), correction=2)"] == 1.0


def test_pruning_in_float16_prunes_nothing_of_large_weights(shown: dict[str, Any]) -> None:
    assert (shown["pruned"]["65280"], shown["pruned"]["65792"]) == (0.5, 0.0)


def test_the_audit_catches_a_package_that_was_not_pruned(shown: dict[str, Any]) -> None:
    assert shown["pruned"]["audit"] == (
        "`sparsity: 0.5` was asked for, but `op_1_weight_to_fp16` has 0 zeros among 65,792; "
        "coremltools leaves weights of more than 65,536 float16 numbers as they are and says nothing: "
        "numpy 2 gives their percentiles as NaN"
    )
