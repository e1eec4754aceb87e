"""Datasets from code and from folders of images, and metrics in Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from buildsys.engine.executors import Job
from buildsys.engine.executors.folder import ActionFolders
from buildsys.planner.graph import Action, Worker
from buildsys.store import Index, Memo, Store
from tests.support.harness import Result, interpreter, run_worker

pytestmark = pytest.mark.toolchain


def load(project: Path, text: str, limit: int | None = None, entry: str = "data:load") -> Result:
    project.mkdir(exist_ok=True)
    (project / "data.py").write_text("import numpy as np\n" + text)
    return run_worker(
        "data",
        "data",
        "worker:load",
        outputs={"samples": "samples.npz"},
        options={"python": entry, "limit": limit},
        project=project,
    )


def test_several_labels_by_name(tmp_path: Path) -> None:
    text = "def load():\n return {'x': np.ones((2, 1))}, {'boxes': np.ones((2, 3, 4)), 'k': [1, 2]}"
    labels = arrays.labels_of(load(tmp_path, text).arrays())
    assert isinstance(labels, dict)
    assert labels["boxes"].shape == (2, 3, 4)
    assert labels["k"].tolist() == [1, 2]


def test_arrays_with_labels(tmp_path: Path) -> None:
    got = load(tmp_path, "def load():\n return {'x': np.ones((5, 2))}, [0, 1, 2, 3, 4]", limit=3)
    assert got.arrays()["x"].shape == (3, 2)
    assert got.arrays()[arrays.LABELS].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def load():\n return 3", "returned `int`, not a mapping"),
        ("def load():\n return {}", "an empty mapping"),
        ("def load():\n return {'x': ['a']}", "`x` of type `list` (<U1), not an array of numbers"),
        ("def load():\n return {'x': [[1], [1, 2]]}", "`x` with rows of unequal shape"),
        ("def load():\n return {'x': np.ones(2), 'z': np.ones(3)}", "(x: 2, z: 3)"),
        ("def load():\n raise OSError('gone')", "raised OSError: gone (data.py:3)"),
    ],
)
def test_a_function_that_gives_no_arrays(tmp_path: Path, text: str, message: str) -> None:
    got = load(tmp_path, text)
    assert got.field == "source.python"
    assert message in got.message


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`flat/` with images of several kinds, `classes/` with two sub-folders, and bad ones."""
    folder = tmp_path_factory.mktemp("pictures")
    script = """
import numpy as np, os
from PIL import Image
for name in ("flat", "classes/cat", "classes/dog", "broken", "deep", "empty"):
    os.makedirs(name)
wide = np.zeros((4, 8, 3), np.uint8)
wide[:, 2:6] = (255, 128, 0)
Image.fromarray(wide).save("flat/wide.png")
Image.fromarray(np.full((3, 3), 51, np.uint8)).save("flat/gray.bmp")
for number, kind in enumerate(["cat", "cat", "dog"]):
    Image.new("RGB", (4, 4), (number, 0, 0)).save(f"classes/{kind}/{number}.png")
open("broken/a.jpg", "wb").write(b"no picture")
Image.fromarray(np.zeros((4, 4), np.uint16)).save("deep/a.png")
turned = Image.new("RGB", (4, 4))
exif = turned.getexif()
exif[0x0112] = 6
turned.save("flat/turned.jpg", exif=exif)
"""
    subprocess.run([interpreter("data"), "-c", script], cwd=folder, check=True)
    return folder


def images(folder: Path, limit: int | None = None, **preprocess: Any) -> Result:
    return run_worker(
        "data",
        "data",
        "worker:images",
        inputs={"folder": folder},
        outputs={"samples": "samples.npz"},
        options={"preprocess": preprocess, "limit": limit},
    )


def test_images_are_cropped_scaled_and_laid_out(pictures: Path) -> None:
    got = images(pictures / "flat", size=[4, 4], mean=[0.5], std=[0.5])
    gray, turned, wide = got.arrays()["images"]
    assert gray.shape == (3, 4, 4)
    np.testing.assert_allclose(gray, (51 / 255 - 0.5) / 0.5, rtol=1e-5)
    np.testing.assert_allclose(turned, -1)
    np.testing.assert_allclose(wide[:, 0, 0], [1, (128 / 255 - 0.5) / 0.5, -1], atol=1e-6)
    assert np.ptp(wide, axis=(1, 2)).max() == 0  # The middle is of one colour.
    assert "1 of 3 images have an EXIF orientation" in got.notes[0]


def test_padding_and_channels(pictures: Path) -> None:
    padded = images(
        pictures / "flat", size=[8, 8], fit="pad", color="bgr", layout="NHWC", scale=1.0
    ).arrays()["images"][2]
    assert padded.shape == (8, 8, 3)
    assert padded[0].max() == 0
    assert padded[4, 4].tolist() == [0, 128, 255]
    gray = images(pictures / "flat", size=[2, 6], fit="stretch", color="gray").arrays()["images"]
    assert gray.shape == (3, 1, 2, 6)


def test_sub_folders_are_labels_and_take_turns(pictures: Path) -> None:
    got = images(pictures / "classes", limit=2, size=[4, 4], scale=1.0).arrays()
    assert got[arrays.LABELS].tolist() == [0, 1]
    assert got["images"][:, 0, 0, 0].tolist() == [0, 2]


def test_an_empty_folder_is_no_class(pictures: Path, tmp_path: Path) -> None:
    """The digest of a dataset does not know of it, so it must not move the labels."""
    folder = tmp_path / "classes"
    shutil.copytree(pictures / "classes", folder)
    found = []
    for _ in range(2):
        store = Store(tmp_path / "store")
        digest = Memo(Index(store.root)).of(folder)
        assert digest is not None
        action = Action("m:val", "data.sample", Worker("", "", None, ()), None, {}, {}, ())
        inputs: dict[str, tuple[Path | None, str]] = {"folder": (folder, digest)}
        job = Job.of(action, "ab" * 32, inputs, Path(), None, 1, 60.0)
        step = ActionFolders(store).make(job.spec)
        assert step.copy_inputs() is None
        got = images(step.inputs["folder"], size=[4, 4]).arrays()[arrays.LABELS].tolist()
        found.append((digest, got))
        (folder / "bird").mkdir(exist_ok=True)
    assert found[0] == found[1]
    assert found[0][1] == [0, 1, 0]


@pytest.mark.parametrize(
    ("name", "preprocess", "message"),
    [
        ("broken", {"size": [4, 4]}, "image `a.jpg` cannot be decoded"),
        ("deep", {"size": [4, 4]}, "image `a.png` has more than 8 bits"),
        ("empty", {"size": [4, 4]}, "the folder holds no images"),
        ("flat", {}, "needs `preprocess`"),
    ],
)
def test_a_folder_that_does_not_do(
    pictures: Path, name: str, preprocess: dict[str, Any], message: str
) -> None:
    got = images(pictures / name, **preprocess)
    assert message in got.message
    assert got.field == "source"
    assert str(pictures) not in got.message


def metric(project: Path, text: str, labels: Any = True, resamples: int = 20) -> Result:
    (project / "metrics.py").write_text(text)
    rows: arrays.Arrays = {"x": np.zeros((4, 1))}
    if labels is not False:
        rows = arrays.with_labels(rows, np.arange(4) if labels is True else labels)
    arrays.save(project / "in.npz", rows)
    arrays.save(project / "got.npz", {"y": np.array([0, 1, 0, 0])})
    arrays.save(project / "want.npz", {"y": np.arange(4)})
    return run_worker(
        "data",
        "data",
        "worker:metric",
        inputs={
            "evaluation": project / "in.npz",
            "got_evaluation": project / "got.npz",
            "reference_evaluation": project / "want.npz",
        },
        outputs={"metric": "metric.json"},
        options={"python": "metrics:score", "resamples": resamples},
        project=project,
    )


def test_a_metric_is_taken_of_both(tmp_path: Path) -> None:
    text = "def score(outputs, labels):\n return (outputs['y'] == labels).mean()"
    got = metric(tmp_path, text)
    assert got.error is None
    found = json.loads(got.outputs["metric"].read_text())
    low, high = found.pop("interval")
    assert found == {"reference": 1.0, "value": 0.5, "count": 4}
    # Of four rows two are wrong: draws of these alone, or of the others.
    assert 0 <= low < 0.5 < high <= 1


def test_a_metric_gets_all_labels_of_the_rows_that_are_drawn(tmp_path: Path) -> None:
    text = (
        "def score(outputs, labels):\n"
        " assert (labels['first'] + 10 == labels['second']).all()\n"
        " if len(set(labels['first'])) < 4: raise ValueError('too few')\n"
        " return (outputs['y'] == labels['first']).mean()"
    )
    several = {"first": np.arange(4), "second": np.arange(4) + 10}
    got = metric(tmp_path, text, several)
    assert got.error is None
    assert json.loads(got.outputs["metric"].read_text())["interval"] is None
    assert "no interval: on rows drawn again `metrics:score` raised ValueError" in got.notes[0]
    assert metric(tmp_path, text, several, resamples=0).notes == []


@pytest.mark.parametrize(
    ("text", "labels", "message"),
    [
        ("def score(o, l):\n return 'good'", True, "returned `str`, not a number"),
        ("def score(o, l):\n return float('nan')", True, "NaN for the original"),
        ("def score(o, l):\n return len(l)", False, "TypeError"),
    ],
)
def test_a_metric_that_gives_no_figure(
    tmp_path: Path, text: str, labels: bool, message: str
) -> None:
    got = metric(tmp_path, text, labels)
    assert got.field == "evaluate.python"
    assert message in got.message
    assert labels or "has no labels" in got.hint
