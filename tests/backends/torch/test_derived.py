"""What a model computes of its weights alone is met while it runs, and explains what converters store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.coreml.rules import CoremlOptions
from buildsys.backends.kit.stored_weights import Weights, load
from buildsys.verify.weights import judged
from tests.backends import torch_zoo
from tests.backends.harness import Result, factory, port, run_worker

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
        "torch", "torch", "state:weights", outputs=FILES, options=options, project=project, **more
    )
    return weights(made)


def read(backend: str, artifact: Result) -> Weights:
    made = run_worker(
        backend,
        backend,
        "kit.stored_weights:read_weights",
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
