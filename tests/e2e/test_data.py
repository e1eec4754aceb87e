"""Datasets and metrics of the project's own, and folders of images, through the whole line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.e2e.project import Project

pytestmark = pytest.mark.toolchain

LOADER = """\
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def load():
    with np.load(HERE / "data" / "val.npz") as archive:
        return {"x": archive["x"]}, archive["y"]


def accuracy(outputs, labels):
    return float((outputs["logits"].argmax(axis=1) == labels).mean())
"""


def test_a_loader_and_a_metric_in_python(tmp_path: Path) -> None:
    project = Project.copy_of("digits", tmp_path)
    (project.folder / "loader.py").write_text(LOADER)
    project.edit(
        "deploy.yaml",
        "val: {source: data/val.npz, inputs: {image: x}, labels: y}",
        'val: {source: {python: "loader:load"}, inputs: {image: x}}',
    )
    project.edit("deploy.yaml", "metric: top1}", 'python: "loader:accuracy"}')
    result = project.build("android/classifier.onnx")
    assert result.code == 0, result.stdout + result.stderr
    metric = project.report()["android/classifier.onnx"]["measurement"]["metric"]
    with np.load(project.folder / "data" / "val.npz") as archive:
        count = len(archive["y"])
    assert metric["count"] == count
    assert metric["value"] == metric["reference"]
    assert metric["value"] > 0.97
    # What the loader opens counts, although no recipe names it.
    path = project.folder / "data" / "val.npz"
    with np.load(path) as archive:
        np.savez(path, x=archive["x"][:100], y=archive["y"][:100])
    assert "data/val.npz changed" in project.reasons("android/classifier.onnx")
    assert project.build("android/classifier.onnx").code == 0
    metric = project.report()["android/classifier.onnx"]["measurement"]["metric"]
    assert metric["count"] == 100


def test_a_folder_of_images(tmp_path: Path) -> None:
    """The validation set as pictures of 8 bits: a little coarser than the arrays, as good for top-1."""
    project = Project.copy_of("digits", tmp_path)
    with np.load(project.folder / "data" / "val.npz") as archive:
        pictures = np.round(archive["x"][:100, 0] / archive["x"].max() * 255).astype(np.uint8)
        greatest = float(archive["x"].max())
        labels = archive["y"][:100]
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        folder = project.folder / "pictures" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.pgm").write_bytes(b"P5 8 8 255\n" + picture.tobytes())
    project.edit(
        "deploy.yaml",
        "val: {source: data/val.npz, inputs: {image: x}, labels: y}",
        "val: {source: pictures, preprocess: "
        f"{{size: [8, 8], color: gray, scale: {greatest / 255}}}}}",
    )
    result = project.build("android/classifier.onnx")
    assert result.code == 0, result.stdout + result.stderr
    metric = project.report()["android/classifier.onnx"]["measurement"]["metric"]
    assert metric["count"] == 100
    assert metric["value"] > 0.95


def test_a_model_in_an_environment_of_its_own(tmp_path: Path) -> None:
    """From a requirements file; and in the host's, which has no torch and says so."""
    project = Project.copy_of("digits", tmp_path)
    (project.folder / "requirements.txt").write_text(
        "torch==2.13.0\nnumpy==2.4.6\nsafetensors==0.8.0\n"
    )
    project.edit(
        "deploy.yaml",
        "capture: trace",
        "capture: trace\n    environment: {requirements: requirements.txt}",
    )
    result = project.build("android/classifier.onnx")
    assert result.code == 0, result.stdout + result.stderr
    assert project.build("android/classifier.onnx").started() == 0
    project.edit("deploy.yaml", "{requirements: requirements.txt}", "host")
    result = project.run("build", "android/classifier.onnx")
    assert result.code == 1
    assert "the environment of this step has no module `torch`" in result.stdout
    assert "choose `environment: builtin`" in result.stdout
