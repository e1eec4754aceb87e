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
