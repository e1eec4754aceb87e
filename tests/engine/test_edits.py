"""Which actions an edit runs, with real processes and a fake backend."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from buildsys.engine.staleness.walk import State
from tests.space import Space, statuses

ALL = {
    "torch.capture": 1,
    "torch.reference": 1,
    "torch.floor": 1,
    "data.sample": 2,
    "onnx.export": 1,
    "onnx.run": 1,
    "coreml.convert": 1,
    "tflite.convert": 1,
    "tflite.quantize": 1,
    "tflite.run": 2,
    "verify.measure": 3,
    "verify.original": 1,
}


def test_first_build_runs_every_action_once_and_places_every_artifact(space: Space) -> None:
    build = space.build()
    assert space.ran(build) == ALL
    assert build.exit == 0
    assert statuses(build) == {
        "ios/m.onnx": "verified",
        "ios/m.coreml": "unverified",
        "android/m.tflite": "verified",
        "android/m.tflite-half": "verified",
    }
    assert {name for name in space.artifacts() if not name.startswith(".")} == {
        "ios/m.plain",
        "ios/m.package/Manifest.json",
        "ios/m.package/weights/weight.bin",
        "android/m.small",
        "android/m-half.small",
    }


def test_second_build_runs_nothing_starts_nothing_writes_nothing(space: Space) -> None:
    space.build()
    before = space.snapshot()
    build = space.build()
    assert build.run.executed == []
    assert build.processes == 0
    assert space.snapshot() == before
    assert not space.plan().has_work


def test_planning_leaves_everything_as_it_was(space: Space) -> None:
    space.build()
    before = space.snapshot()
    space.plan()
    assert space.snapshot() == before


Edit = Callable[[Space], None]
EDITS: dict[str, tuple[Edit, dict[str, int], str | None]] = {
    "weights": (
        lambda s: s.weights([[1.1, 2.5], [3.1, -4.7], [0.3, 0.25]]),
        {k: v for k, v in ALL.items() if k != "data.sample"},
        "weights.safetensors changed",
    ),
    "a comment": (
        lambda s: s.write("model.py", (s.project / "model.py").read_text() + "# a comment\n"),
        {"torch.capture": 1, "torch.reference": 1, "torch.floor": 1},
        "model.py changed",
    ),
    "a helper that the model imports": (
        lambda s: s.edit("helper.py", "def base", "# moved\ndef base"),
        {"torch.capture": 1, "torch.reference": 1, "torch.floor": 1},
        "helper.py changed",
    ),
    "an option of one deployable": (
        lambda s: s.edit(
            "deploy.yaml",
            "{format: onnx, accept: close}",
            "{format: onnx, accept: close, options: {gain: 1.0, colour: green}}",
        ),
        {"onnx.export": 1},
        "colour: red → green (deploy.yaml:22:66)",
    ),
    "a tolerance": (
        lambda s: s.edit("deploy.yaml", "signal_error: 1.0e-3", "signal_error: 2.0e-3"),
        {},
        None,
    ),
    "samples": (
        lambda s: s.arrays("val.npz", 16, seed=3),
        {
            "data.sample": 2,
            "torch.reference": 1,
            "torch.floor": 1,
            "onnx.run": 1,
            "tflite.run": 2,
            "verify.measure": 3,
            "verify.original": 1,
        },
        "val.npz changed",
    ),
    "a dataset that nothing uses": (lambda s: s.arrays("train.npz", 8, seed=9), {}, None),
}


@pytest.mark.parametrize("name", list(EDITS))
def test_an_edit_runs_just_what_is_below_it_and_a_revert_runs_nothing(
    space: Space, name: str
) -> None:
    edit, expected, cause = EDITS[name]
    space.build()
    clean = space.artifacts()
    saved = space.project.with_name("saved")
    shutil.copytree(space.project, saved)
    edit(space)
    plan = space.plan()
    build = space.build()
    assert space.ran(build) == expected
    executed = set(build.run.executed)
    sure = {n for n, s in plan.standings.items() if s.state is State.RUN}
    maybe = {n for n, s in plan.standings.items() if s.state is State.MAYBE}
    assert sure <= executed <= sure | maybe
    texts = " ".join(r.text for p in plan.deployables for r in p.reasons)
    assert cause is None or cause in texts, texts
    for file in (
        "deploy.yaml",
        "model.py",
        "helper.py",
        "weights.safetensors",
        "val.npz",
        "train.npz",
    ):
        shutil.copy(saved / file, space.project / file)
    build = space.build()
    assert build.run.executed == []
    assert space.artifacts() == clean


def test_touching_everything_runs_nothing(space: Space) -> None:
    space.build()
    for file in space.project.rglob("*"):
        os.utime(file)
    assert space.build().run.executed == []


def test_moving_the_project_runs_nothing(space: Space) -> None:
    space.build()
    moved = space.project.with_name("elsewhere")
    space.project.rename(moved)
    space.project = moved
    assert space.build().run.executed == []


def test_a_file_that_the_factory_opens_counts(space: Space) -> None:
    space.write("scale.txt", "2")
    space.edit(
        "model.py",
        "def build(scale):\n",
        "from pathlib import Path\n\n\ndef build(scale):\n"
        "    scale = float((Path(__file__).parent / 'scale.txt').read_text())\n",
    )
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    space.build()
    space.write("scale.txt", "3")
    plan = space.plan()
    texts = [reason.text for p in plan.deployables for reason in p.reasons]
    assert any(text.startswith("scale.txt changed") for text in texts), texts
    assert space.ran(space.build())["torch.capture"] == 1


def test_a_folder_that_the_factory_lists_counts(space: Space) -> None:
    (space.project / "parts").mkdir()
    space.write("parts/a", "")
    space.edit(
        "model.py",
        "def build(scale):\n",
        "import os\nfrom pathlib import Path\n\n\ndef build(scale):\n"
        "    scale = len(os.listdir(Path(__file__).parent / 'parts'))\n",
    )
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    space.build()
    assert space.build().run.executed == []
    space.write("parts/b", "")
    assert space.ran(space.build())["torch.capture"] == 1


def test_a_stale_pyc_is_not_believed(space: Space) -> None:
    """A module's byte code is valid by its source's time and size alone: ours goes by the source."""
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    space.build()
    first = space.artifacts()
    helper = space.project / "helper.py"
    compiled = space.project / "__pycache__"
    import py_compile

    py_compile.compile(str(helper), cfile=str(compiled / "helper.cpython-311.pyc"))
    times = (helper.stat().st_atime_ns, helper.stat().st_mtime_ns)
    space.edit("helper.py", "1.1, 2.3", "1.5, 2.3")
    os.utime(helper, ns=times)
    space.build()
    assert space.artifacts()["ios/m.plain"] != first["ios/m.plain"]


def test_a_selected_target_builds_nothing_else(space: Space) -> None:
    build = space.build("ios")
    assert set(statuses(build)) == {"ios/m.onnx", "ios/m.coreml"}
    assert not (space.project / "artifacts" / "android").exists()


def test_a_deployable_that_left_the_recipe_leaves_the_artifacts(space: Space) -> None:
    space.build()
    mine = space.project / "artifacts" / "android" / "mine.txt"
    mine.write_text("the user's own")
    space.edit("deploy.yaml", "    - {format: tflite, quantization: half, accept: close}\n", "")
    space.build()
    assert sorted(p.name for p in mine.parent.iterdir()) == ["m.small", "mine.txt"]


def test_an_edited_artifact_is_put_right_and_the_store_is_not_touched(space: Space) -> None:
    space.build()
    clean = space.artifacts()
    path: Path = space.project / "artifacts" / "ios" / "m.plain"
    path.write_text("edited")
    build = space.build()
    assert build.run.executed == []
    assert space.artifacts() == clean


def test_two_stores_two_folders_give_equal_artifacts(space: Space, tmp_path: Path) -> None:
    space.build()
    other = Space(tmp_path / "other" / "deep" / "project", tmp_path / "other-store")
    other.create()
    shutil.copy(space.project / "val.npz", other.project / "val.npz")
    other.build(jobs=1)
    mine, theirs = space.artifacts(), other.artifacts()
    assert {n: b for n, b in mine.items() if n[0] != "."} == {
        n: b for n, b in theirs.items() if n[0] != "."
    }
