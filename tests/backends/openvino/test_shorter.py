"""What is left out of a file is what OpenVINO finds out by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.backends.openvino.steps import convert
from tests.support.scripts import script

pytestmark = pytest.mark.toolchain

HERE = Path(__file__)
TAKEN = {
    "standardised": {"Multiply": 1, "Add": 1},
    "divided": {"Subtract": 1, "Divide": 1},
    "turned": {},  # By a negative number.
    "nothing": {},  # By zero.
    "left": {},
    "far": {},  # Its ends are lost in float32.
    "read twice": {},
    "wider": {},  # The constant has more elements than the input.
    "within": {},
    "relu": {"Relu": 1},
    "relu below": {},
    "relu elsewhere": {},
    "relu of two": {"Relu": 1},
}
"""What stands before a quantizer, and what of it the quantizer does."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("shorter")
    printed = script("openvino", HERE.with_name("shorter.py"), str(HERE.parents[3]), str(folder))
    return json.loads(printed)  # type: ignore[no-any-return]


def test_the_short_text_reads_as_the_full_one(made: dict[str, Any]) -> None:
    assert set(made["texts"]) == {"convolutions", "products", "broadcasts", "bodies"}
    for name, (differ, full, short) in made["texts"].items():
        assert differ == [], name
        assert short < 0.65 * full, name


def test_quantizers_do_what_stands_before_them(made: dict[str, Any]) -> None:
    assert set(made["merged"]) == set(TAKEN)
    for name, (gone, new, error) in made["merged"].items():
        # Constants are written once, and those of what is taken are in the range.
        assert gone.pop("Constant") >= 1, name
        assert (gone, new, error) == (TAKEN[name], {}, 0.0), name


def test_names_of_layers_and_of_outputs_stay(models: Path) -> None:
    done = convert(models, "cnn")
    xml = (done.artifact / "model.xml").read_text()
    for name in ("/body/0/Conv", "/body/2/MaxPool", "/head/Gemm/WithoutBiases", "head.weight"):
        assert f'name="{name}"' in xml
    assert 'precision="FP32" names="logits"/>' in xml
    assert "<dim>" not in xml
    assert "OpenVINO Runtime" not in xml
