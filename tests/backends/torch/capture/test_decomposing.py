"""Operators that some converter lacks are decomposed while a model is captured."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.backends.torch.capture.test_capture import capture
from tests.support.harness import interpreter, port
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

CASES = Path(__file__).with_name("decomposing_cases.py")
ROOT = Path(__file__).parents[4]
TOKENS = [port("tokens", ["N", "T"], "int64", span=[0, 7], T=(2, 12, 5))]
LACKING = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(8, 4)
        self.bag = nn.EmbeddingBag(8, 4, mode="sum")
    def forward(self, tokens):
        steps = torch.diff(tokens, prepend=tokens[:, :1] - 1)
        mask = tokens.new_ones(tokens.shape[0], tokens.shape[1], dtype=torch.bool)
        kept = torch.where((steps != 0) & mask, 1.0, 0.5)
        return self.embed(tokens) * kept.unsqueeze(-1) + self.bag(tokens).unsqueeze(1)
def build():
    torch.manual_seed(3)
    return Net()
"""
STUBBORN = """
class Net(nn.Module):
    def forward(self, x):
        return nn.functional.interpolate(x[:, None], size=(x.shape[1], 9), mode="bicubic")[:, 0]
def build():
    return Net()
"""


def test_each_decomposition_gives_what_pytorch_gives() -> None:
    done = subprocess.run(
        [interpreter("torch"), "-W", "ignore", CASES, ROOT], capture_output=True, check=True
    )
    told = json.loads(done.stdout)
    wrong = {
        f"{name} by {how}": each
        for name, ways in told.items()
        for how, each in ways.items()
        # A sum of numbers stays, and has the name of a sum of truths.
        if not each["agrees"]
        or set(each["left"]) - {"cumsum"}
        or (how == "trace" and not each["lacking"])
    }
    assert wrong == {}
    assert len(told) > 50


@pytest.mark.parametrize("method", ["trace", "export"])
def test_a_model_is_captured_without_them(tmp_path: Path, method: str) -> None:
    got = capture(zoo.write(tmp_path, text=LACKING), TOKENS, ["y"], method)
    assert got.error is None
    assert got.io.outputs[0].shape == ["N", "T", 4]
    assert got.notes == []
    for operator in (b"diff", b"new_ones", b"embedding_bag"):
        assert b"aten." + operator not in got.bytes
        assert b"torch." + operator not in got.bytes


def test_what_cannot_be_decomposed_at_all_sizes_stays_with_a_note(tmp_path: Path) -> None:
    ports = [port("x", ["N", "T", 6], T=(4, 12, 5))]
    got = capture(zoo.write(tmp_path, text=STUBBORN), ports, ["y"], "trace")
    assert got.error is None
    assert got.io.outputs[0].shape == ["N", "T", 9]
    (note,) = [each for each in got.notes if "bicubic" in each]
    assert note.startswith(
        "`upsample_bicubic2d`, which some converters lack, could not be decomposed"
    )
