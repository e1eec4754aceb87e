"""Weights are read back out of finished artifacts of every format, and one flipped bit is found."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.coreml.rules import CoremlOptions
from buildsys.backends.kit.inspect.stored_weights import ROWS, Stored, Weights, load
from buildsys.verify.weights.comparison import judged
from buildsys.verify.weights.numbers.scale_groups import Groups
from tests.scales import exchanged
from tests.support.harness import Result, factory, port, run_worker
from tests.support.models import torch_zoo
from tests.support.scripts import script

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
        self.wide = nn.Linear(12, 64)
        self.head = nn.Linear(64, 48)
        torch.manual_seed(3)
        for tensor in (self.norm.weight, self.norm.running_var):
            tensor.data.uniform_(0.5, 1.5)
        for tensor in (self.norm.bias, self.norm.running_mean):
            tensor.data.normal_()
    def forward(self, image):
        x = torch.relu(self.norm(self.conv(image)))
        y, _ = self.lstm(x.permute(0, 2, 1, 3).flatten(2))
        return self.head(torch.relu(self.wide(y[:, -1])))
def build():
    return Net()
"""


@dataclass(frozen=True)
class Made:
    """The model's own weights, its artifact by format, and what was read out of these."""

    original: Weights
    artifacts: dict[str, Result]
    read: dict[str, Weights] = field(default_factory=dict)

    def stored(self, kind: str) -> Weights:
        """The weights of an artifact."""
        if kind not in self.read:
            artifact = self.artifacts[kind]
            backend = kind.partition("-")[0]
            self.read[kind] = stored(backend, artifact.artifact, artifact.outputs["io"])
        return self.read[kind]


def own(project: Path | None, **more: Any) -> Result:
    return run_worker(
        "torch",
        "torch",
        "original.state:weights",
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
        "tflite": step("tflite-direct", "tflite", "convert.direct:convert", exported),
        "coreml": step("coreml", "coreml", "worker:convert", captured, format=options),
        "coreml-half": step(
            "coreml", "coreml", "worker:convert", captured, format=options, scheme="float16"
        ),
        "coreml-new": step(
            "coreml",
            "coreml",
            "worker:convert",
            captured,
            format=options | {"minimum_deployment_target": "iOS18"},
        ),
        "captured": captured,
        "exported": exported,
    }
    return Made(weights(own(project)), artifacts)


CALIBRATION = {"method": "min-max"}


WORKERS = dict.fromkeys(("openvino", "tflite", "onnx"), "quantize.worker")
IN_BLOCKS = {"bits": 4, "block_size": 32}
HEAD = 48 * 64


@pytest.mark.parametrize(
    ("kind", "profile"),
    [
        ("onnx", {"scheme": "weight-only", **IN_BLOCKS}),
        ("tflite", {"scheme": "dynamic", **IN_BLOCKS}),
        ("openvino", {"scheme": "static", "bits": 8, "calibration": CALIBRATION}),
        # Blocks have to divide a layer's inputs, and those of `wide` are 12.
        (
            "openvino",
            {"scheme": "weight-only", "symmetric": False, "keep_float": ["/wide*"], **IN_BLOCKS},
        ),
        ("coreml-new", {"scheme": "static", "bits": 8, "calibration": CALIBRATION}),
        (
            "coreml-new",
            {
                "scheme": "weight-only",
                "symmetric": False,
                "keep_float": ["concat_*", "wide_*"],
                **IN_BLOCKS,
            },
        ),
    ],
)
def test_all_of_quantized_ones_is_explained_and_wrong_scales_are_found(
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
        f"{WORKERS.get(backend, 'worker')}:quantize",
        inputs={"artifact": source.artifact, "io": source.outputs["io"], **data},
        outputs={"artifact": "model.mlpackage", "io": "io.json"}
        | ({"ranges": "ranges.json"} if data else {}),
        options=options | {"quantization": {"per_channel": True, **profile}},
    )
    healthy, floats = stored(backend, done.artifact, done.outputs["io"]), made.stored(kind)
    found = judged(healthy, made.original, floats)
    assert (found["altered"], found["missing"], found["unexplained"]) == ([], [], [])
    assert found["compared"] >= 5
    head = next(
        each
        for each in healthy.tensors
        if each.scale is not None
        and judged(Weights([each]), made.original)["quantized"]
        and each.values.size == HEAD
    )
    groups = Groups.of(head)
    assert groups.count == (96 if "block_size" in profile else 48)
    one, other = int(groups.scale.argmin()), int(groups.scale.argmax())
    faults = {
        "all": replace(head, scale=head.scale * head.scale.dtype.type(1.25)),  # type: ignore[union-attr]
        "two": exchanged(head, "scale", one, other),
    }
    if len(np.unique(groups.zero)) > 1:
        one, other = int(groups.zero.argmin()), int(groups.zero.argmax())
        faults["zero points"] = exchanged(head, "zero_point", one, other)
    for fault, wrong in faults.items():
        tensors = [wrong if each is head else each for each in healthy.tensors]
        (altered,) = judged(Weights(tensors), made.original, floats)["altered"]
        assert (altered["name"], altered["of"]) == (head.name, ["head.weight"]), fault
        count = groups.count if fault == "all" else 2
        assert f"{count} of its {groups.count} " in altered["why"], fault

    if "block_size" in profile:
        one, other = int(groups.scale.argmin()), int(groups.scale.argmax())
        copy = copied(done.artifact, tmp_path)
        rewritten(copy, groups.scale.tobytes(), exchanged_numbers(groups.scale, one, other))
        again = stored(backend, copy, done.outputs["io"])
        (read,) = (each for each in again.tensors if each.name == head.name)
        assert np.array_equal(read.decoded, faults["two"].decoded)


def exchanged_numbers(numbers: NDArray[Any], one: int, other: int) -> bytes:
    made = numbers.copy()
    made[[one, other]] = made[[other, one]]
    return made.tobytes()


def weights(result: Result) -> Weights:
    return load(result._output("weights"), result._output("names"))


def stored(backend: str, artifact: Path, io: Path) -> Weights:
    return weights(
        run_worker(
            backend,
            backend,
            "kit.inspect.stored_weights:read_weights",
            inputs={"artifact": artifact, "io": io},
            outputs=FILES,
            options={"reader_module": f"{backend}.stored_weights"},
        )
    )


def tensor(of: Weights, name: str) -> NDArray[Any]:
    return tensor_of(of, name).values


def tensor_of(of: Weights, name: str) -> Stored:
    return next(t for t in of.tensors if t.name == name)


def copied(artifact: Path, folder: Path) -> Path:
    copy = folder / artifact.name
    (shutil.copytree if artifact.is_dir() else shutil.copyfile)(artifact, copy)
    return copy


def rewritten(artifact: Path, old: bytes, new: bytes) -> None:
    """Puts bytes in the one place where an artifact has these."""
    files = [artifact] if artifact.is_file() else [p for p in artifact.rglob("*") if p.is_file()]
    (file,) = (p for p in files if old in p.read_bytes())
    data = file.read_bytes()
    assert data.count(old) == 1
    file.write_bytes(data.replace(old, new))


def flipped(artifact: Path, number: NDArray[Any], folder: Path) -> Path:
    """A copy with the lowest bit of the one place where the number lies turned."""
    copy = copied(artifact, folder)
    old = number.tobytes()
    rewritten(copy, old, bytes([old[0] ^ 1]) + old[1:])
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
    assert original.linear == {"wide.weight", "head.weight"}
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
    found = judged(made.stored(kind), made.original)
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


def test_products_whose_integers_share_bytes_are_read_as_the_runtime_does(tmp_path: Path) -> None:
    """`MatMulNBits`, which files have that others made: with zero points, and with a shorter block."""
    script("onnx", Path(__file__).parent / "onnx" / "packed_products.py", str(tmp_path))
    io = tmp_path / "io.json"
    io.write_text(json.dumps({"inputs": [], "outputs": []}))
    read = stored("onnx", tmp_path / "model.onnx", io)
    with np.load(tmp_path / "expected.npz") as expected:
        assert {each.name for each in read.tensors} == {"full.B", "cut.B"}
        for name, matrix in expected.items():
            assert np.allclose(tensor_of(read, f"{name}.B").decoded, matrix, atol=1e-6), name
    assert {each.orientation for each in read.tensors} == {ROWS}
