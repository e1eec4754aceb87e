"""A bundle that is judged where nothing of ours is installed: what it carries, and what its script says."""

from __future__ import annotations

import importlib.util
import io
import json
import platform
import shutil
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import zstandard

from buildsys.engine.run import Settings
from buildsys.release.bundle import BundleError, create, read
from buildsys.release.selftest import contents, script
from buildsys.verify.outputs.metrics import compare, variation
from tests.release.test_bundle import pack, unpack
from tests.space import Space

ROOT = "toy-1.0-android"


def bundled(space: Space, folder: Path, target: str = "android") -> Path:
    with space.session() as session:
        build = session.build([target])
        return create(
            build,
            target,
            folder,
            "1.0",
            allow_unverified=True,
            self_test=lambda files: contents.contents(session, build, target, files),
        ).path


def unpacked(archive: Path, folder: Path) -> Path:
    with archive.open("rb") as stream:
        data = zstandard.ZstdDecompressor().stream_reader(stream).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        opened.extractall(folder, filter="data")
    (root,) = folder.iterdir()
    return root


def loaded(root: Path) -> ModuleType:
    """The script of an unpacked bundle, with something that runs the fake formats."""
    spec = importlib.util.spec_from_file_location("selftest", root / "selftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def matrix(path: Path) -> Any:
        rows = np.asarray(json.loads(path.read_text()), np.float32)
        return lambda feed: {"y": (feed["x"] @ rows).astype(np.float32)}

    module.LOADERS.update(onnx=matrix, tflite=matrix)
    return module


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """Built once; its tests edit what they unpack."""
    folder = tmp_path_factory.mktemp("space")
    made = Space(folder / "project", folder / "store")
    made.create()
    return made


@pytest.fixture(scope="module")
def archive(project: Space, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundled(project, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def ios(project: Space, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundled(project, tmp_path_factory.mktemp("ios"), "ios")


@pytest.fixture
def root(archive: Path, tmp_path: Path) -> Path:
    return unpacked(archive, tmp_path / "unpacked")


def test_what_is_carried(root: Path, archive: Path) -> None:
    found = read(archive)
    carried = found.manifest["selftest"]["files"]
    folders = [f"selftest/android/{name}" for name in ("m.tflite", "m.tflite-half")]
    files = [f"{folder}/{name}.npz" for folder in folders for name in ("inputs", "expected")]
    assert carried == sorted([*files, "selftest.py", "selftest/cases.json"])
    assert set(carried) <= found.files.keys()
    (plain, half) = json.loads((root / "selftest" / "cases.json").read_text())["cases"]
    assert plain["outputs"][0]["bounds"] == {"signal_error": 1e-3}
    assert (plain["samples"], plain["samples_of_the_build"], plain["batch"]) == (8, 8, 1)
    assert half["path"] == "m-half.small"


def test_equal_builds_carry_equal_bytes(project: Space, archive: Path, tmp_path: Path) -> None:
    assert bundled(project, tmp_path / "again").read_bytes() == archive.read_bytes()


def test_a_bundle_without_one_is_as_before(project: Space, tmp_path: Path) -> None:
    build = project.build("android")
    plain = create(build, "android", tmp_path, "1.0")
    assert "selftest" not in plain.manifest
    assert set(plain.files) == {"manifest.json", "m.small", "m-half.small"}


@pytest.mark.parametrize("name", ["selftest.py", "selftest/cases.json"])
def test_a_script_that_was_altered_is_found(archive: Path, tmp_path: Path, name: str) -> None:
    files = unpack(archive)
    files[f"{ROOT}/{name}"] += b" "
    pack(tmp_path / "altered.tar.zst", files)
    with pytest.raises(BundleError, match="was altered"):
        read(tmp_path / "altered.tar.zst")


def test_samples_that_were_collected_are_made_again(space: Space, tmp_path: Path) -> None:
    build = space.build("android")
    (drawn,) = [n for n, a in build.graph.actions.items() if n == "m:samples#data.sample"]
    trace = build.run.trace(drawn)
    assert trace is not None
    with space.session() as session:
        session.engine.store.discard(trace.outputs["samples"].digest)
    again = unpacked(bundled(space, tmp_path / "out"), tmp_path / "unpacked")
    assert loaded(again).main([]) == 0


def test_what_cannot_be_made_again_is_an_error(space: Space) -> None:
    with space.session() as session:
        build = session.build(["android"])
        for name in ("m:samples#data.sample", "m#torch.reference"):
            trace = build.run.trace(name)
            assert trace is not None
            session.engine.store.discard(trace.outputs["samples"].digest)
        files = {"android/m.tflite": ["m.small"]}
        too_little = Settings(memory=1)  # No dataset fits into a byte.
        with pytest.raises(
            BundleError, match=r"made again: m:samples#.*arrays of the dataset take"
        ):
            contents.contents(session, build, "android", files, settings=too_little)


def test_all_holds(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert loaded(root).main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["android/m.tflite", "passed"],
        ["android/m.tflite-half", "passed"],
    ]
    assert "signal_error" in lines[1]


def test_its_figures_are_those_of_the_build(
    root: Path, project: Space, capsys: pytest.CaptureFixture[str]
) -> None:
    (half,) = [v for v in project.build("android").verdicts if "half" in v.deployable.label]
    assert half.measurement is not None
    assert loaded(root).main(["--json", "android/m.tflite-half"]) == 0
    record = json.loads(capsys.readouterr().out)
    (artifact,) = record["artifacts"]
    values = {gate["bound"]: gate["value"] for gate in artifact["gates"]}
    assert values["signal_error"] == pytest.approx(
        half.measurement.outputs["y"].signal_error, rel=1e-9
    )


def damage(root: Path, factor: float) -> None:
    path = root / "m.small"
    rows = json.loads(path.read_text())
    rows[0][0] *= factor
    path.write_text(json.dumps(rows))


@pytest.mark.parametrize("factor", [1.01, -1.0, float("nan"), float("inf")])
def test_a_damaged_artifact_fails(
    root: Path, capsys: pytest.CaptureFixture[str], factor: float
) -> None:
    damage(root, factor)
    assert loaded(root).main([]) == 3
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["android/m.tflite", "FAILED"]
    assert second.split()[:2] == ["android/m.tflite-half", "passed"]


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda feed: {}, "it gives no output `y`"),
        (lambda feed: {"y": np.zeros((1, 3), np.float32)}, "`y` has the shape [1, 3], not [1, 2]"),
        (lambda feed: {"y": np.zeros((1, 2), np.int64)}, "dtype of y"),
        (lambda feed: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_an_artifact_that_breaks_its_contract_fails(
    root: Path, capsys: pytest.CaptureFixture[str], run: Any, said: str
) -> None:
    module = loaded(root)
    module.LOADERS["tflite"] = lambda path: run
    assert module.main(["android/m.tflite"]) == 3
    assert said in capsys.readouterr().out


def test_an_artifact_that_is_gone_fails(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "m.small").unlink()
    assert loaded(root).main([]) == 3
    assert "FileNotFoundError" in capsys.readouterr().out


def test_what_cannot_be_run_here_is_said_and_is_no_success(
    ios: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = unpacked(ios, tmp_path / "unpacked")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    module = loaded(root)
    assert module.main([]) == 5
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "ios/m.coreml  not run  Core ML runs on a Mac only"
    assert lines[-1] == "not everything was run"
    assert module.main(["ios/m.onnx"]) == 0
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert (
        module.main(["ios/m.coreml"]) == 5
    )  # Without coremltools there is nothing to run it with.
    assert "coremltools is not installed here" in capsys.readouterr().out


def test_on_a_mac_a_package_is_run(
    ios: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With something in the place of coremltools that answers as it does."""
    root = unpacked(ios, tmp_path / "unpacked")

    class Model:
        def __init__(self, path: str) -> None:
            self.rows = json.loads((Path(path) / "weights" / "weight.bin").read_text())

        def predict(self, feed: dict[str, Any]) -> dict[str, Any]:
            return {"y": feed["x"] @ np.asarray(self.rows, np.float32)}

    fake = ModuleType("coremltools")
    fake.models = ModuleType("models")  # type: ignore[attr-defined]
    fake.models.MLModel = Model
    monkeypatch.setitem(__import__("sys").modules, "coremltools", fake)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert loaded(root).main([]) == 0
    # Nothing judged it here, so it is held to the default of its scheme.
    cases = json.loads((root / "selftest" / "cases.json").read_text())["cases"]
    (case,) = [case for case in cases if case["format"] == "coreml"]
    assert case["outputs"][0]["bounds"]["signal_error"] > 0


def test_an_unknown_label_is_a_usage_error(root: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        loaded(root).main(["nonsense"])
    assert ended.value.code == 2


def test_the_folder_may_lie_anywhere(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a folder"
    shutil.move(root, elsewhere)
    assert loaded(elsewhere).main([]) == 0


RNG = np.random.default_rng(3)
REFERENCE = RNG.standard_normal((6, 4)).astype(np.float32)
MASKED = REFERENCE.copy()
MASKED[2, 1] = -np.inf
PAIRS: dict[str, tuple[Any, Any]] = {
    "noise": (REFERENCE + RNG.standard_normal((6, 4)).astype(np.float32) * 1e-3, REFERENCE),
    "equal": (REFERENCE, REFERENCE),
    "zeros": (REFERENCE * 0, REFERENCE),
    "float16": (REFERENCE.astype(np.float16), REFERENCE),
    "an infinity on both sides": (MASKED + 0.01, MASKED),
    "whole numbers": (np.arange(24).reshape(6, 4) + 1, np.arange(24).reshape(6, 4)),
    "large": (REFERENCE * 1.1e6, REFERENCE * 1e6),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("more", [0.0, 3.0])
def test_figures_are_those_of_verify(name: str, more: float) -> None:
    got, reference = PAIRS[name]
    found = script.figures(got, reference, more)
    wanted = compare(got, reference, "y", more).to_json()
    for figure in (*contents.BOUNDS,):
        if wanted[figure] is None:
            assert figure not in found
        else:
            assert found[figure] == pytest.approx(wanted[figure], rel=1e-6, abs=1e-12), figure
    assert script.figures(reference, reference, variation(reference))["signal_error"] == 0.0


def test_strays_leave_no_figures() -> None:
    got = REFERENCE.copy()
    got[0, 0] = np.nan
    assert script.figures(got, REFERENCE, 1.0) == {"strays": 1}
    assert script.figures(REFERENCE, MASKED, 1.0) == {"strays": 1}


def test_nan_fails_without_any_bound() -> None:
    got = REFERENCE.copy()
    got[0, 0] = np.nan
    judged = {"outputs": [{"name": "y", "variation": 1.0, "bounds": {}}]}
    for value, passed in ((REFERENCE, True), (got, False)):
        rows = script.judge(judged, {"y": value}, {"y": REFERENCE})
        assert [row[4] for row in rows if row[1] == "finite"] == [passed]


def case(batch: int, **port: Any) -> dict[str, Any]:
    input_port = {"name": "x", "artifact_name": "in", "dtype": "float32", "permutation": None}
    output = {"name": "y", "artifact_name": "out", "permutation": None, "labels": None}
    return {
        "samples": 5,
        "batch": batch,
        "inputs": [input_port | {"batched": True} | port.get("input", {})],
        "outputs": [output | port.get("output", {})],
    }


SAMPLES = {"x": RNG.standard_normal((5, 2, 3)).astype(np.float32)}


def given(found: dict[str, Any], run: Any, row: tuple[int, ...] = (2, 3)) -> Any:
    return script.outputs_of(run, found, SAMPLES, {"y": (5, *row)})["y"]


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 8])
def test_a_fixed_batch_is_filled_and_cut_again(batch: int) -> None:
    def run(feed: Any) -> Any:
        assert feed["in"].shape == (batch, 2, 3)
        return {"out": feed["in"] * 2}

    np.testing.assert_array_equal(given(case(batch), run), SAMPLES["x"] * 2)


def test_a_model_without_a_batch_gets_one_sample_a_run() -> None:
    def run(feed: Any) -> Any:
        assert feed["in"].shape == (2, 3)
        return {"out": feed["in"] * 2}

    found = case(1, input={"batched": False})
    np.testing.assert_array_equal(given(found, run), SAMPLES["x"] * 2)


def test_axes_are_turned_on_the_way_in_and_back_on_the_way_out() -> None:
    def run(feed: Any) -> Any:
        assert feed["in"].shape == (2, 3, 2)
        return {"out": feed["in"]}

    turned = {"permutation": [0, 2, 1]}
    found = case(2, input=turned, output=turned)
    np.testing.assert_array_equal(given(found, run), SAMPLES["x"])


def test_the_batch_may_stand_at_another_axis_of_an_output() -> None:
    def run(feed: Any) -> Any:
        return {"out": feed["in"].transpose(1, 0, 2)}

    np.testing.assert_array_equal(given(case(5), run), SAMPLES["x"])


def test_inputs_are_given_in_the_artifacts_dtype() -> None:
    def run(feed: Any) -> Any:
        assert feed["in"].dtype == np.float16
        return {"out": feed["in"]}

    given(case(2, input={"dtype": "float16"}), run)


def test_probabilities_by_label_are_put_in_order() -> None:
    def run(feed: Any) -> Any:
        return {"out": {"dog": 0.25, "cat": 0.75}}

    found = case(1, output={"labels": ["cat", "dog"]})
    np.testing.assert_array_equal(given(found, run, (2,)), [[0.75, 0.25]] * 5)


def test_few_samples_are_carried_where_they_are_large() -> None:
    assert contents._fitting(100, [np.zeros((100, 10), np.float32)]) == contents.MOST_SAMPLES
    heavy = np.broadcast_to(np.float32(0), (100, contents.MOST_BYTES // 4 // 5))
    assert contents._fitting(100, [heavy]) == 5
    heavier = np.broadcast_to(np.float32(0), (100, contents.MOST_BYTES))
    assert contents._fitting(100, [heavier]) == 2
