"""What a norm adds to the variance is compared with the model's, whichever norm it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildsys.backends.kit.inspect.stored_weights import Weights, load
from buildsys.verify.weights.comparison import judged
from tests.support.harness import Result, factory, port, run_worker
from tests.support.models import torch_zoo
from tests.support.scripts import script

pytestmark = pytest.mark.toolchain

FILES = {"weights": "weights.npz", "names": "names.json"}
PORTS, OUTPUTS = [port("image", ["N", 3, 8, 8], N=(1, 2, 1))], ["logits"]
# A batch norm behind an activation is folded into nothing.
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, eps=1e-3)
        self.layer, self.head = nn.LayerNorm(8), nn.Linear(8, 4)
        for each in (self.norm.weight, self.norm.bias, self.layer.weight, self.layer.bias):
            nn.init.uniform_(each, 0.5, 1.5)
        self.norm.running_var.uniform_(0.5, 1.5)
    def forward(self, image):
        return self.head(self.layer(self.norm(torch.relu(self.conv(image))).mean((2, 3))))
def build():
    return Net()
"""
ALTER = """
import sys, onnx
model = onnx.load(sys.argv[1])
(node,) = [node for node in model.graph.node if node.op_type == sys.argv[2]]
(epsilon,) = [each for each in node.attribute if each.name == "epsilon"]
epsilon.f *= 10
onnx.save(model, sys.argv[3])
"""


def weights(result: Result) -> Weights:
    return load(result.outputs["weights"], result.outputs["names"])


def step(backend: str, worker: str, toolchain: str | None = None, **more: Any) -> Result:
    return run_worker(toolchain or backend, backend, worker, **more)


@pytest.mark.parametrize("kind", ["BatchNormalization", "LayerNormalization"])
def test_another_epsilon_is_found(tmp_path: Path, kind: str) -> None:
    project = torch_zoo.write(tmp_path / "project", text=NET)
    told = factory(PORTS, OUTPUTS)
    original = weights(
        step("torch", "original.state:weights", outputs=FILES, options=told, project=project)
    )
    program = step("torch", "worker:export", options=told, project=project)
    io = {"io": program.outputs["io"]}
    made = step(
        "onnx",
        "worker:export",
        "onnx-export",
        inputs={"artifact": program.artifact, **io},
        options={"ports": PORTS, "outputs": OUTPUTS, "scheme": None, "format": {"opset": None}},
    )
    altered = tmp_path / "altered.onnx"
    code = tmp_path / "alter.py"
    code.write_text(ALTER)
    script("onnx", code, str(made.artifact), kind, str(altered))

    def off(artifact: Path) -> list[str]:
        read = step(
            "onnx",
            "kit.inspect.stored_weights:read_weights",
            inputs={"artifact": artifact, **io},
            outputs=FILES,
            options={"reader_module": "onnx.stored_weights"},
        )
        return [each["name"] for each in judged(weights(read), original)["altered"]]

    assert off(made.artifact) == []
    assert off(altered) == ["norm.weight" if kind == "BatchNormalization" else "layer.weight"]
