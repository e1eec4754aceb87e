"""Weights are read back out of finished artifacts of every format, and one flipped bit is found."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.coreml.rules import CoremlOptions
from buildsys.backends.kit.stored_weights import Weights, load
from buildsys.verify.weights import judged
from tests.backends import torch_zoo
from tests.backends.harness import Result, factory, port, run_worker

pytestmark = pytest.mark.toolchain

FILES = {"weights": "weights.npz", "names": "names.json"}
PORTS, OUTPUTS = [port("image", ["N", 3, 10, 12], N=(1, 1, 1))], ["logits"]
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8, eps=1e-3)
        self.lstm = nn.LSTM(80, 12, batch_first=True)
        self.head = nn.Linear(12, 5)
        torch.manual_seed(3)
        for tensor in (self.norm.weight, self.norm.running_var):
            tensor.data.uniform_(0.5, 1.5)
        for tensor in (self.norm.bias, self.norm.running_mean):
            tensor.data.normal_()
    def forward(self, image):
        x = torch.relu(self.norm(self.conv(image)))
        y, _ = self.lstm(x.permute(0, 2, 1, 3).flatten(2))
        return self.head(y[:, -1])
def build():
    return Net()
"""


@dataclass(frozen=True)
class Made:
    """The model's own weights, and its artifact by format."""

    original: Weights
    artifacts: dict[str, Result]


def own(project: Path | None, **more: Any) -> Result:
    return run_worker(
        "torch",
        "torch",
        "state:weights",
        outputs=FILES,
        options=factory(PORTS, OUTPUTS),
        project=project,
        **more,
    )


def step(toolchain: str, backend: str, worker: str, source: Result, **options: Any) -> Result:
    told = {"ports": PORTS, "outputs": OUTPUTS, "format": {}, "scheme": None, **options}
    return run_worker(
        toolchain,
        backend,
        worker,
        inputs={"artifact": source.artifact, "io": source.outputs["io"]},
        options=told | {"metadata": {"project": "p", "model": "m", "version": "1"}},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    project = torch_zoo.write(tmp_path_factory.mktemp("net"), text=NET)
    captured, exported = (
        run_worker(
            "torch",
            "torch",
            worker,
            options=factory(PORTS, OUTPUTS, dynamic=False),
            project=project,
        )
        for worker in ("worker:capture", "worker:export")
    )
    onnx = step("onnx-export", "onnx", "worker:export", captured, format={"opset": None})
    openvino = step("openvino", "openvino", "worker:convert", onnx)
    options = CoremlOptions().model_dump(mode="json")
    artifacts = {
        "onnx": onnx,
        "openvino": openvino,
        "tflite": step("tflite-direct", "tflite", "direct_worker:convert", exported),
        "coreml": step("coreml", "coreml", "worker:convert", captured, format=options),
        "coreml-half": step(
            "coreml", "coreml", "worker:convert", captured, format=options, scheme="float16"
        ),
        "coreml-new": step(
            "coreml",
            "coreml",
            "worker:convert",
            captured,
            format=options | {"minimum_deployment_target": "iOS17"},
        ),
        "captured": captured,
        "exported": exported,
    }
    return Made(weights(own(project)), artifacts)


CALIBRATION = {"method": "min-max"}


@pytest.mark.parametrize(
    ("kind", "profile"),
    [
        ("openvino", {"scheme": "static", "bits": 8, "calibration": CALIBRATION}),
        ("openvino", {"scheme": "weight-only", "bits": 4}),
        ("coreml-new", {"scheme": "static", "bits": 8, "calibration": CALIBRATION}),
        ("coreml-new", {"scheme": "weight-only", "bits": 8, "symmetric": False}),
    ],
)
def test_all_of_quantized_ones_is_explained(
    made: Made, kind: str, profile: dict[str, Any], tmp_path: Path
) -> None:
    source = made.artifacts[kind]
    backend = kind.partition("-")[0]
    image = np.random.default_rng(0).standard_normal((6, 3, 10, 12)).astype(np.float32)
    np.savez(tmp_path / "data.npz", image=image)
    data = {"calibration": tmp_path / "data.npz"} if profile["scheme"] == "static" else {}
    options = {"ports": PORTS, "outputs": OUTPUTS, "format": {}, "scheme": profile["scheme"]}
    done = run_worker(
        backend,
        backend,
        "quantize_worker:quantize" if backend == "openvino" else "worker:quantize",
        inputs={"artifact": source.artifact, "io": source.outputs["io"], **data},
        outputs={"artifact": "model.mlpackage", "io": "io.json"}
        | ({"ranges": "ranges.json"} if data else {}),
        options=options | {"quantization": {"per_channel": True, **profile}},
    )
    found = judged(stored(backend, done.artifact, done.outputs["io"]), made.original)
    assert (found["altered"], found["missing"], found["unexplained"]) == ([], [], [])
    assert found["compared"] >= 5


def weights(result: Result) -> Weights:
    return load(result._output("weights"), result._output("names"))


def stored(backend: str, artifact: Path, io: Path) -> Weights:
    return weights(
        run_worker(
            backend,
            backend,
            "kit.stored_weights:read_weights",
            inputs={"artifact": artifact, "io": io},
            outputs=FILES,
            options={"reader_module": f"{backend}.stored_weights"},
        )
    )


def tensor(of: Weights, name: str) -> NDArray[Any]:
    return next(t.values for t in of.tensors if t.name == name)


def flipped(artifact: Path, number: NDArray[Any], folder: Path) -> Path:
    """A copy with the lowest bit of the one place where the number lies turned."""
    copy = folder / artifact.name
    (shutil.copytree if artifact.is_dir() else shutil.copyfile)(artifact, copy)
    files = [copy] if copy.is_file() else [p for p in copy.rglob("*") if p.is_file()]
    (file,) = (p for p in files if number.tobytes() in p.read_bytes())
    data = bytearray(file.read_bytes())
    assert data.count(number.tobytes()) == 1
    data[data.index(number.tobytes())] ^= 1
    file.write_bytes(data)
    return copy


def test_the_models_own_weights(made: Made) -> None:
    original = made.original
    assert {t.name for t in original.tensors} >= {
        "conv.weight",
        "norm.running_var",
        "lstm.weight_hh_l0",
        "head.bias",
    }
    (norm,) = original.norms
    assert (norm.module, norm.mean, norm.eps) == ("norm", "norm.running_mean", (1e-3,))
    assert original.linear == {"head.weight"}
    assert original.plain >= {"conv.weight", "lstm.bias_ih_l0"}


@pytest.mark.parametrize("kind", ["captured", "exported"])
def test_those_of_a_file_are_the_same(made: Made, kind: str) -> None:
    found = weights(own(None, inputs={"source": made.artifacts[kind].artifact}))
    for name in ("conv.weight", "norm.running_mean", "lstm.weight_ih_l0", "head.bias"):
        assert np.array_equal(tensor(found, name), tensor(made.original, name))
    (norm,) = found.norms
    assert 1e-3 in norm.eps


@pytest.mark.parametrize("kind", ["onnx", "openvino", "tflite", "coreml", "coreml-half"])
def test_all_is_explained_and_one_flipped_bit_is_found(
    made: Made, kind: str, tmp_path: Path
) -> None:
    artifact = made.artifacts[kind]
    backend = kind.partition("-")[0]
    healthy = stored(backend, artifact.artifact, artifact.outputs["io"])
    found = judged(healthy, made.original)
    assert (found["altered"], found["missing"], found["unexplained"]) == ([], [], [])
    assert found["compared"] >= 6
    # The batch norm's four vectors and the convolution's two come as two.
    assert found["folded"] >= 1
    head = tensor(made.original, "head.weight")
    number = head[3, 7].astype(np.float16) if kind == "coreml-half" else head[3, 7]
    if kind == "coreml-half":  # Two bytes may lie anywhere: take them with their neighbour.
        number = head[3, 7:9].astype(np.float16)
    wrong = stored(backend, flipped(artifact.artifact, number, tmp_path), artifact.outputs["io"])
    (altered,) = judged(wrong, made.original)["altered"]
    assert (altered["of"], altered["count"]) == (["head.weight"], 1)
    (element,) = altered["elements"]
    assert sorted(element["index"]) == [3, 7]
    assert element["expected"] == pytest.approx(float(head[3, 7]), rel=1e-6)
