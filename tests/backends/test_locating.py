"""Faults in finished artifacts are found: recordings of both sides by the real runtimes, compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.inspect import probing
from buildsys.backends.kit.protocol import arrays
from buildsys.figures.json_form import to_json
from buildsys.verify.localization.first_difference import Localization
from tests.support import models
from tests.support.harness import Result, factory, port, run_worker
from tests.support.scripts import script

pytestmark = pytest.mark.toolchain

RECORDING = {"steps": "steps.json", "tensors": "tensors.npz"}
MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.ModuleDict({
            "first": nn.Conv2d(2, 6, 3, padding=1),
            "second": nn.Conv2d(6, 4, 3, padding=1),
        })
        self.head = nn.Linear(4, 3)

    def forward(self, image):
        x = self.body["first"](image - 0.5).relu()
        x = torch.relu(self.body["second"](x))
        return self.head(x.mean((2, 3)))


class Energy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        loud = self.body(x) * 400
        return self.head(torch.log1p(loud**2))


def net():
    torch.manual_seed(0)
    return Net()


def energy():
    torch.manual_seed(0)
    return Energy()
"""
CASES: Mapping[str, tuple[list[dict[str, Any]], list[str]]] = {
    "net": ([port("image", ["N", 2, 7, 5])], ["logits"]),
    "energy": ([port("x", ["N", 8])], ["scores"]),
}


@dataclass(frozen=True)
class Made:
    """A model of the tests: captured, and what the original computes on samples."""

    name: str
    captured: Result
    samples: Path
    original: probing.Recording

    @property
    def options(self) -> dict[str, Any]:
        ports, outputs = CASES[self.name]
        return {"ports": ports, "outputs": outputs, "scheme": None}

    def probed(self, backend: str, artifact: Path, io: Path, runtime: bool) -> probing.Recording:
        """What an artifact computes on the same samples."""
        more = {
            "probe_module": f"{backend}.probe",
            "runtime_module": f"{backend}.runtime" if runtime else None,
        }
        done = run_worker(
            backend,
            "kit",
            "inspect.probing:probe_artifact",
            inputs={"artifact": artifact, "io": io, "samples": self.samples},
            outputs=RECORDING,
            options=self.options | more,
        )
        assert done.error is None, done.error
        return probing.read(done.outputs["steps"], done.outputs["tensors"])

    def located(self, artifact: probing.Recording, scheme: str | None = None) -> dict[str, Any]:
        _, outputs = CASES[self.name]
        options: dict[str, Any] = {
            "label": "x/y.z",
            "format": "z",
            "scheme": scheme,
            "outputs": outputs,
            "bounds": {},
        }
        record: dict[str, Any] = to_json(
            Localization(artifact, self.original, options, {}).location()
        )
        return record


def made(folder: Path, name: str) -> Made:
    project = folder / "project"
    project.mkdir()
    (project / "model.py").write_text(MODEL)
    ports, outputs = CASES[name]
    described = factory(ports, outputs, entry=f"model:{name}")
    captured = run_worker("torch", "torch", "worker:capture", options=described, project=project)
    samples = folder / "samples.npz"
    shape = [4, *ports[0]["shape"][1:]]
    drawn = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    arrays.save(samples, {ports[0]["name"]: drawn})
    traced = run_worker(
        "torch",
        "torch",
        "original.recorder:trace",
        inputs={"samples": samples},
        outputs=RECORDING,
        options=described,
        project=project,
    )
    assert traced.error is None, traced.error
    original = probing.read(traced.outputs["steps"], traced.outputs["tensors"])
    return Made(name, captured, samples, original)


def converted(source: Made, toolchain: str, backend: str, worker: str, **more: Any) -> Result:
    return run_worker(
        toolchain,
        backend,
        worker,
        inputs={"artifact": source.captured.artifact, "io": source.captured.outputs["io"]},
        options=source.options | more,
    )


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made(tmp_path_factory.mktemp("net"), "net")


@pytest.fixture(scope="module")
def exported(net: Made) -> Result:
    return converted(net, "onnx-export", "onnx", "worker:export", format={"opset": None})


def onnx_faults(kind: str, artifact: Path, folder: Path) -> dict[str, str]:
    """Writes files with faults; gives the operation at which each of them is."""
    path = models.FOLDER / "onnx_faults.py"
    return dict(
        line.split() for line in script("onnx", path, kind, str(artifact), str(folder)).splitlines()
    )


def test_faults_in_an_onnx_file_are_located(net: Made, exported: Result, tmp_path: Path) -> None:
    io = exported.outputs["io"]
    # The original knows its modules, its lines, and the weights of each operator.
    (first, *_) = [s for s in net.original.steps if s.operation == "aten::convolution"]
    assert (first.module, first.weights) == (
        "body.first",
        ("body.first.weight", "body.first.bias"),
    )
    assert first.file == "model.py"
    assert "self.body" in str(first.text)
    healthy = net.located(net.probed("onnx", exported.artifact, io, runtime=True))
    assert (healthy["kind"], healthy["operation"]) == ("healthy", None)
    assert all(row["reference_op"] for row in healthy["table"])
    faults = onnx_faults("float", exported.artifact, tmp_path)
    places = {
        "dropped_bias": "body.second",
        "wrong_activation": "",
        "swapped_operands": "",
        "zeroed_row": "head",
    }
    assert set(faults) == set(places)
    for fault, name in faults.items():
        seen = net.probed("onnx", tmp_path / f"{fault}.onnx", io, runtime=True)
        found = net.located(seen)
        names = [row["name"] for row in found["table"]]
        assert found["found"], fault
        apart = names.index(found["operation"]["name"]) - names.index(name)
        assert abs(apart) <= 1, (fault, name, found["operation"])
        assert found["module"] in (places[fault], ""), fault
        assert found["source"]["file"] == "model.py", fault


def test_faults_among_integers_of_an_onnx_file_are_located(
    net: Made, exported: Result, tmp_path: Path
) -> None:
    """What stands between `QuantizeLinear` and `DequantizeLinear` is compared as what it stands for."""
    calibration = tmp_path / "calibration.npz"
    drawn = np.random.default_rng(0).standard_normal((64, 2, 7, 5)).astype(np.float32)
    arrays.save(calibration, {"image": drawn})
    profile = {"scheme": "static", "bits": 8, "calibration": {"method": "min-max"}}
    done = run_worker(
        "onnx",
        "onnx",
        "quantize.worker:quantize",
        inputs={
            "artifact": exported.artifact,
            "io": exported.outputs["io"],
            "calibration": calibration,
        },
        outputs={"artifact": "model.onnx", "io": "io.json", "ranges": "ranges.json"},
        options=net.options | {"format": {}, "scheme": "static", "quantization": profile},
    )
    io = done.outputs["io"]
    healthy = net.located(net.probed("onnx", done.artifact, io, runtime=True), "static")
    assert (healthy["kind"], healthy["operation"]) == ("healthy", None)
    assert [r for r in healthy["table"] if not r["explained"]] == []
    assert max(row["error"] for row in healthy["table"]) < 0.02
    assert "QuantizeLinear" in {row["artifact_op"] for row in healthy["table"]}
    faults = onnx_faults("int8", done.artifact, tmp_path)
    assert len(faults) == 4
    for fault, name in faults.items():
        seen = net.probed("onnx", tmp_path / f"{fault}.onnx", io, runtime=False)
        found = net.located(seen, "static")
        names = [row["name"] for row in found["table"]]
        assert found["kind"] == "op", fault
        apart = names.index(found["operation"]["name"]) - names.index(name)
        assert abs(apart) <= 1, (fault, name, found["operation"])


def test_an_overflow_in_a_float16_package_is_located_with_its_range(tmp_path: Path) -> None:
    energy = made(tmp_path, "energy")
    options = {
        "minimum_deployment_target": "iOS16",
        "compute_units": "all",
        "flexible": False,
        "image_inputs": None,
        "class_labels": False,
        "author": None,
        "license": None,
        "description": None,
    }
    metadata = {"project": "p", "model": "energy", "version": ""}
    more = {"scheme": "float16", "format": options, "metadata": metadata}
    package = converted(energy, "coreml", "coreml", "worker:convert", **more)
    seen = energy.probed("coreml", package.artifact, package.outputs["io"], runtime=False)
    found = energy.located(seen, "float16")
    assert (found["kind"], found["operation"]["type"]) == ("overflow", "pow")
    assert found["overflow"]["largest"] > found["overflow"]["limit"] == 65504.0
    (times,) = [s for s in energy.original.steps if s.operation == "aten::mul"]
    loud = energy.original.values[times.outputs[0]]
    assert found["overflow"]["largest"] == pytest.approx(float((loud**2).max()), rel=1e-2)
    assert found["source"]["text"] == "return self.head(torch.log1p(loud**2))"
    # The logarithm takes what float16 cannot hold.
    assert len(found["cure"]["keep_float"]) == 2
