"""What a model makes of constants by operators that converters lack is computed at capture."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.backends.torch.capture.test_capture import capture
from tests.support.harness import interpreter, port
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

CASES = Path(__file__).with_name("folding_cases.py")
ROOT = Path(__file__).parents[4]
ROW = [port("x", ["N", 4], N=(1, 6, 2))]
LENGTHS = [port("x", ["N", "T", 4], T=(2, 12, 5))]
POSITIONS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 4, 5, 5))
        self.mixed = nn.Parameter(torch.randn(4, 4))
    def forward(self, x):
        rows = nn.functional.interpolate(self.positions, size=(3, x.shape[1]), mode="bicubic")
        return x @ torch.linalg.inv(self.mixed) + rows.flatten(2).sum(-1)
def build():
    torch.manual_seed(3)
    return Net()
"""
VARYING = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, 1, 4, 4))
    def forward(self, x):
        return x + nn.functional.interpolate(self.positions, size=(x.shape[1], 4), mode="bicubic")[0]
def build():
    torch.manual_seed(3)
    return Net()
"""


def test_what_is_folded_is_what_pytorch_gives_and_all_else_stays() -> None:
    done = subprocess.run(
        [interpreter("torch"), "-W", "ignore", CASES, ROOT], capture_output=True, check=True
    )
    told = json.loads(done.stdout)
    wrong = {
        f"{name} by {how}": each
        for name, ways in told.items()
        for how, each in ways.items()
        if not each["agrees"] or each["folded"] != each["wanted"] or each["untraced"]
    }
    assert wrong == {}
    assert len(told) >= 12


@pytest.mark.parametrize("method", ["trace", "export"])
def test_a_capture_holds_results_and_no_operators(tmp_path: Path, method: str) -> None:
    got = capture(zoo.write(tmp_path, text=POSITIONS), ROW, ["y"], method)
    assert got.error is None
    assert got.notes == []
    for operator in (b"bicubic", b"linalg_inv"):
        assert operator not in got.bytes


def test_a_size_that_varies_is_not_fixed_by_folding(tmp_path: Path) -> None:
    got = capture(zoo.write(tmp_path, text=VARYING), LENGTHS, ["y"], "trace")
    assert got.error is None
    assert got.io.outputs[0].shape == ["N", "T", 4]
    assert any("could not be computed at capture" in note for note in got.notes)
