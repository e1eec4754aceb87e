"""What a model computes of its weights alone is met while it runs, and explains what converters store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.coreml.rules import CoremlOptions
from buildsys.backends.kit.inspect.stored_weights import Weights, load
from buildsys.verify.weights.comparison import judged
from tests.support.harness import Result, factory, port, run_worker
from tests.support.models import torch_zoo

pytestmark = pytest.mark.toolchain

FILES = {"weights": "weights.npz", "names": "names.json"}
PORTS, OUTPUTS = [port("image", ["N", 3, 8, 8], N=(1, 1, 1))], ["logits"]
NET = """
import torch.nn.functional as F

class Standardized(nn.Conv2d):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.gain = nn.Parameter(torch.rand(sizes[1], 1, 1, 1) + 0.5)
    def forward(self, x):
        flat = self.weight.reshape(1, self.out_channels, -1)
        weight = F.batch_norm(flat, None, None, self.gain.view(-1), training=True, momentum=0.0)
        return F.conv2d(x, weight.reshape_as(self.weight), self.bias)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.conv = Standardized(3, 8, 3)
        self.table = nn.Parameter(torch.randn(25, 8))
        self.register_buffer("index", torch.randint(0, 25, (6,)))
        self.place = nn.Parameter(torch.randn(1, 8, 3, 3))
        self.mask = nn.Parameter(torch.randn(8, 8))
        self.head = nn.Linear(8, 48)
        self.narrow = nn.utils.parametrizations.weight_norm(nn.Linear(48, 20))
    def forward(self, image):
        x = self.conv(image) + F.interpolate(self.place, (6, 6), mode="bilinear")
        x = x + self.table[self.index].t()[None, :, :, None]
        scratch = torch.zeros(1, 8)
        scratch[:, 0] = x.mean()
        x = (x.mean((2, 3)) + scratch) @ torch.sin(self.mask)
        return self.narrow(torch.relu(self.head(x)))
def build():
    return Net()
"""


def step(toolchain: str, backend: str, source: Result, **options: Any) -> Result:
    told = {"ports": PORTS, "outputs": OUTPUTS, "scheme": None, **options}
    worker = "worker:export" if backend == "onnx" else "worker:convert"
    return run_worker(
        toolchain,
        backend,
        worker,
        inputs={"artifact": source.artifact, "io": source.outputs["io"]},
        options=told | {"metadata": {"project": "p", "model": "m", "version": "1"}},
    )


def weights(result: Result) -> Weights:
    return load(result._output("weights"), result._output("names"))


def own(project: Path | None, **more: Any) -> Weights:
    options = factory(PORTS, OUTPUTS)
    made = run_worker(
        "torch",
        "torch",
        "original.state:weights",
        outputs=FILES,
        options=options,
        project=project,
        **more,
    )
    return weights(made)


def read(backend: str, artifact: Result) -> Weights:
    made = run_worker(
        backend,
        backend,
        "kit.inspect.stored_weights:read_weights",
        inputs={"artifact": artifact.artifact, "io": artifact.outputs["io"]},
        outputs=FILES,
        options={"reader_module": f"{backend}.stored_weights"},
    )
    return weights(made)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_zoo.write(tmp_path_factory.mktemp("net"), text=NET)


@pytest.fixture(scope="module")
def captured(project: Path) -> Result:
    options = factory(PORTS, OUTPUTS, dynamic=False)
    return run_worker("torch", "torch", "worker:capture", options=options, project=project)


MADE = {
    ("conv.weight", "conv.gain"): (8, 3, 3, 3),
    ("table", "index"): (1, 8, 6, 1),
    ("place",): (1, 8, 6, 6),
    ("mask",): (8, 8),
    ("narrow.parametrizations.weight.original0", "narrow.parametrizations.weight.original1"): (
        *(20, 48),
    ),
}


def test_each_tensor_that_is_made_of_weights_alone_is_met(project: Path, captured: Result) -> None:
    original = own(project)
    made = {frozenset(t.made_of): t for t in original.tensors if t.derived}
    for of, shape in MADE.items():
        found = made[frozenset(of)]
        assert sorted(found.values.shape) == sorted(shape), of
        # What is only moved is exact; the rest may be off by some roundings, and no more.
        largest = float(np.abs(found.values).max())
        assert found.slack == 0 if "table" in of else 0 < found.slack < 1e-5 * largest
    table = next(t.values for t in original.tensors if t.name == "table")
    index = made[frozenset(("table", "index"))].values
    assert all((row == table).all(axis=1).any() for row in index[0, :, :, 0].T)
    # What depends on the image, or was written over by what does, is none.
    assert len([t for t in original.tensors if t.derived and t.made_of]) == len(MADE)
    of_file = own(None, inputs={"source": captured.artifact})
    shapes = [t.values.shape for t in of_file.tensors if t.derived]
    assert (8, 3, 3, 3) in shapes


@pytest.mark.parametrize("kind", ["onnx", "coreml", "coreml-half"])
def test_what_converters_store_of_it_is_traced_to_the_model(
    project: Path, captured: Result, kind: str
) -> None:
    original = own(project)
    if kind == "onnx":
        artifact = step("onnx-export", "onnx", captured, format={"opset": None})
    else:
        options = CoremlOptions().model_dump(mode="json")
        scheme = "float16" if kind == "coreml-half" else None
        artifact = step("coreml", "coreml", captured, format=options, scheme=scheme)
    stored = read(kind.partition("-")[0], artifact)
    found = judged(stored, original)
    assert (found["altered"], found["missing"], found["unexplained"]) == ([], [], [])
    assert found["traced"] == 1.0
    plain = replace(original, tensors=[t for t in original.tensors if not t.derived])
    assert judged(stored, plain)["traced"] < 1.0, "the formats store it, or the test is none"


PLACES = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.head = nn.Linear(24, 4)
    def forward(self, image):
        x = image.reshape(1, -1)[:, :24] * torch.linspace(0.0, 1.0, 24)
        return self.head(x + torch.arange(24, dtype=torch.float32))
def build():
    return Net()
"""


def test_a_series_may_be_reckoned_in_another_order_and_whole_numbers_may_not(
    tmp_path: Path,
) -> None:
    project = torch_zoo.write(tmp_path, text=PLACES)
    options = factory(PORTS, OUTPUTS, dynamic=False)
    program = run_worker("torch", "torch", "worker:export", options=options, project=project)
    original = own(project)
    made = {
        "whole" if (t.values == t.values.round()).all() else "even": t
        for t in original.tensors
        if t.derived
    }
    assert made["whole"].slack == 0 < made["even"].slack < 1e-6
    stored = read("onnx", step("onnx-export", "onnx", program, format={"opset": None}))
    series = made["even"].values.reshape(-1)
    held = next(t for t in stored.tensors if np.allclose(t.values.reshape(-1)[:3], series[:3]))
    assert (held.values.reshape(-1) != series).any(), "the exporter reckons as torch does: no test"
    assert judged(stored, original)["altered"] == []
    values = held.values.copy()
    values.reshape(-1)[7] += 1e-4
    tensors = [replace(t, values=values) if t is held else t for t in stored.tensors]
    altered = judged(replace(stored, tensors=tensors), original)["altered"]
    assert [a["name"] for a in altered] == [held.name]


WRITING = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.rows = nn.Parameter(torch.randn(8, 8))
        self.table = nn.Parameter(torch.randn(2, 8))
        self.gru = nn.GRU(24, 5)
        self.head = nn.Linear(5, 4)
    def forward(self, image):
        wave = torch.sin(self.rows)
        x = image + wave
        wave.add_(x[0, 0])
        both = torch.exp(self.table)
        both[0].add_(self.table[1])
        x = x * both[:, None].repeat(1, 4, 1).view(8, 8)
        states, _ = self.gru(x.permute(2, 0, 1, 3).flatten(2))
        return self.head(states[-1])
def build():
    return Net()
"""


def test_a_constant_that_is_written_over_later_is_what_it_was(tmp_path: Path) -> None:
    original = own(torch_zoo.write(tmp_path / "net", text=WRITING))
    made = {t.made_of: t for t in original.tensors if t.derived}
    rows = next(t.values for t in original.tensors if t.name == "rows")
    assert np.allclose(made[("rows",)].values, np.sin(rows), rtol=0, atol=1e-6)
    # A view of it was written into: nobody knows how far rounding took what is there now.
    assert ("table",) not in made
    # A GRU's gates begin with a product of its first states, which are zero, and are written into.
    assert [t for t in made.values() if any("gru" in name for name in t.made_of)]
    for each in made.values():
        assert each.slack <= 1e-5 * float(np.abs(each.values).max()), each.name
        assert len(np.unique(each.values)) > 1, "anything may hold zeros"
