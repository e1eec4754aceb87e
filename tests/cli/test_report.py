"""`modelbuild report`: what the last build left on record, and how it compares with an earlier one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from buildsys.cli.main import run
from buildsys.report.record import write_report
from tests.cli.inside import Inside
from tests.space import Space


@pytest.fixture
def modelbuild(
    space: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Inside:
    return Inside(space, monkeypatch, capsys)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """Built once: most tests look at a report, and build nothing."""
    folder = tmp_path_factory.mktemp("space")
    made = Space(folder / "project", folder / "store")
    made.create()
    write_report(made.build())
    return made


@pytest.fixture
def built(
    once: Space,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Inside:
    """A built copy, the test's own."""
    space = Space(tmp_path / "project", tmp_path / "store")
    shutil.copytree(once.project, space.project)
    shutil.copytree(once.store, space.store)
    return Inside(space, monkeypatch, capsys)


def kept(modelbuild: Inside, tmp_path: Path) -> Path:
    """A copy of the last build's report."""
    copy = tmp_path / "earlier.json"
    copy.write_bytes((modelbuild.space.project / "artifacts" / "report.json").read_bytes())
    return copy


def edited(path: Path, label: str, **fields: Any) -> None:
    record = json.loads(path.read_text())
    (entry,) = [e for e in record["deployables"] if e["label"] == label]
    entry.update(fields)
    path.write_text(json.dumps(record))


def test_it_shows_the_table_of_the_last_build(modelbuild: Inside) -> None:
    shown = modelbuild("build").out.splitlines()
    said = modelbuild("report")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[:5] == shown[:5]
    assert "4 deployables: 3 verified, 1 unverified." in lines
    assert "unverified: nothing runs a fake package" in lines


def test_it_builds_nothing(built: Inside) -> None:
    built.space.weights([[9.0, 2.3], [3.1, -4.7], [0.3, 0.25]])
    before = built.space.snapshot()
    assert built("report").code == 0
    assert built.space.snapshot() == before


def test_selectors_and_json(built: Inside) -> None:
    record = built("report", "android", "--json").json()
    assert record["version"] == 1
    labels = [entry["label"] for entry in record["deployables"]]
    assert labels == ["android/m.tflite", "android/m.tflite-half"]
    assert built("report", "nonsense").code == 4


def test_it_says_what_the_last_build_left_out(modelbuild: Inside) -> None:
    modelbuild("build", "ios")
    out = modelbuild("report").out
    assert "not built by the last build: android/m.tflite, android/m.tflite-half" in out


def test_another_folder(modelbuild: Inside, tmp_path: Path) -> None:
    modelbuild("build", "--out", str(tmp_path / "out"))
    assert modelbuild("report").code == 1
    assert modelbuild("report", "--out", str(tmp_path / "out")).code == 0


def test_without_a_build_there_is_nothing_to_show(modelbuild: Inside) -> None:
    said = modelbuild("report")
    assert said.code == 1
    assert "hint: `modelbuild build` writes it" in said.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not as a build writes it: input should be an object"),
        ('{"version": 2, "deployables": []}', "is of version 2"),
        (
            '{"version": 1, "deployables": [{}]}',
            "is not as a build writes it: `project`: it is missing",
        ),
    ],
)
def test_what_is_no_report_is_refused(
    built: Inside, tmp_path: Path, text: str, message: str
) -> None:
    other = tmp_path / "other.json"
    other.write_text(text)
    said = built("report", "--against", str(other))
    assert said.code == 1
    assert message in said.err
    assert "hint: " in said.err


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status": "splendid"}, "`deployables[0].status`: input should be 'verified', "),
        ({"measurement": {}}, "`deployables[0].measurement.outputs`: it is missing"),
        ({"measurement": 3}, "`deployables[0].measurement`: input should be an object"),
        ({"io": {"inputs": []}}, "`deployables[0].io.outputs`: it is missing"),
        (
            {"io": {"inputs": [{"name": "x"}], "outputs": []}},
            "`deployables[0].io.inputs[0].shape`: it is missing",
        ),
        ({"bytes": "many"}, "`deployables[0].bytes`: input should be a valid integer"),
    ],
)
def test_an_entry_that_is_none_is_refused(
    built: Inside, tmp_path: Path, fields: dict[str, Any], message: str
) -> None:
    earlier = kept(built, tmp_path)
    edited(earlier, "ios/m.onnx", **fields)
    said = built("report", "--against", str(earlier))
    assert said.code == 1
    assert message in said.err


def test_against_itself_nothing_differs(built: Inside, tmp_path: Path) -> None:
    said = built("report", "--against", str(kept(built, tmp_path)), "--json")
    assert said.code == 0
    found = said.json()
    assert found["summary"] == {
        "compared": 4,
        "added": 0,
        "removed": 0,
        "breaking": 0,
        "bounds_failed": 0,
    }
    for each in found["deployables"]:
        assert each["same_bytes"]
        assert each["io"] == each["bounds"] == each["causes"] == []
        assert each["status"]["change"] == "same"


def test_against_a_bundle_only_its_target_is_compared(built: Inside, tmp_path: Path) -> None:
    bundled = built("bundle", "create", "android", "--release", "1.0", "--to", str(tmp_path))
    assert bundled.code == 0
    built("build")
    archive = tmp_path / "toy-1.0-android.tar.zst"
    found = built("report", "--against", str(archive), "--json").json()
    labels = [each["label"] for each in found["deployables"]]
    assert labels == ["android/m.tflite", "android/m.tflite-half"]
    assert found["added"] == found["removed"] == []
    assert found["earlier"]["kind"] == "bundle"
    assert found["earlier"]["release"] == "1.0"
    archive.write_bytes(archive.read_bytes()[:-9])
    said = built("report", "--against", str(archive))
    assert said.code == 1
    assert "ends too early" in said.err


def test_bounds_hold_or_give_status_3(built: Inside, tmp_path: Path) -> None:
    earlier = kept(built, tmp_path)
    built.space.edit(
        "deploy.yaml",
        "close: {signal_error: 1.0e-3}",
        "close: {signal_error: 1.0e-3, max_size_ratio: 1.5, max_error_ratio: 10}",
    )
    said = built("report", "--against", str(earlier))
    assert said.code == 0
    assert "pass max_size_ratio 1 ≤ 1.5" in said.out
    edited(earlier, "ios/m.onnx", bytes=1)
    said = built("report", "--against", str(earlier))
    assert said.code == 3
    assert "FAIL max_size_ratio" in said.out
    assert "1 bound does not hold" in said.out
    assert built("report", "android", "--against", str(earlier)).code == 0


def test_a_build_says_that_it_does_not_judge_them(modelbuild: Inside) -> None:
    note = "`max_size_ratio` is judged by `modelbuild report --against FILE`, not by a build"
    modelbuild.space.edit(
        "deploy.yaml", "close: {signal_error: 1.0e-3}", "close: {max_size_ratio: 0.001}"
    )
    assert f"note: {note}" in modelbuild("plan").out
    said = modelbuild("build")
    assert said.code == 0
    assert f"note: {note}" in said.out


def test_bounds_on_a_release_alone_leave_the_default_in_force(modelbuild: Inside) -> None:
    modelbuild.space.edit(
        "deploy.yaml", "close: {signal_error: 1.0e-3}", "close: {max_size_ratio: 2}"
    )
    modelbuild("build", "ios/m.onnx")
    (entry,) = modelbuild("report", "ios/m.onnx", "--json").json()["deployables"]
    assert entry["accept"] == "close"
    assert [g["limit"] for g in entry["gates"] if g["bound"] == "signal_error"] == [1e-3]


def test_what_breaks_an_app_gives_status_3_unless_it_is_meant(
    built: Inside, tmp_path: Path
) -> None:
    earlier = kept(built, tmp_path)
    record = json.loads(earlier.read_text())
    io = record["deployables"][0]["io"]
    io["inputs"][0]["dtype"] = "float16"
    edited(earlier, "ios/m.onnx", io=io)
    said = built("report", "--against", str(earlier))
    assert said.code == 3
    assert "BREAKS: input `x`: dtype float16 → float32" in said.out
    said = built("report", "--against", str(earlier), "--allow-breaking")
    assert said.code == 0
    assert "BREAKS: input `x`" in said.out
    assert built("report", "--allow-breaking").code == 2


def test_a_deployable_that_is_gone_breaks_and_a_new_one_does_not(
    built: Inside, tmp_path: Path
) -> None:
    earlier = kept(built, tmp_path)
    built("build", "ios")
    said = built("report", "--against", str(earlier))
    assert said.code == 3
    assert "removed: android/m.tflite" in said.out
    fewer = kept(built, tmp_path)
    built("build")
    said = built("report", "--against", str(fewer))
    assert said.code == 0
    assert "added: android/m.tflite" in said.out


def test_what_ships_no_more_breaks(built: Inside, tmp_path: Path) -> None:
    earlier = kept(built, tmp_path)
    built.space.edit("deploy.yaml", "close: {signal_error: 1.0e-3}", "close: {signal_error: 1e-12}")
    built("build")
    said = built("report", "--against", str(earlier), "--json")
    assert said.code == 3
    found = {each["label"]: each for each in said.json()["deployables"]}
    half = found["android/m.tflite-half"]
    assert half["status"]["change"] == "worse"
    assert half["lost"]
    assert half["breaking"]


def test_causes_are_named(built: Inside, tmp_path: Path) -> None:
    earlier = kept(built, tmp_path)
    built.space.edit(
        "deploy.yaml",
        "{format: onnx, accept: close}",
        "{format: onnx, accept: close, options: {gain: 1.0001}}",
    )
    built("build")
    found = built("report", "ios/m.onnx", "--against", str(earlier), "--json").json()
    (each,) = found["deployables"]
    assert [cause["what"] for cause in each["causes"]] == ["options"]
    assert not each["same_bytes"]
    (error,) = [e for e in each["errors"] if e["figure"] == "signal_error"]
    assert error["now"] > error["before"]


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_fits_a_terminal(
    built: Inside, tmp_path: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = kept(built, tmp_path)
    edited(earlier, "ios/m.onnx", bytes=1, digest="sha256:other", status="unverified")
    monkeypatch.setenv("COLUMNS", str(width))
    said = built("report", "--against", str(earlier), "--color", "never")
    lines = said.out.splitlines()
    assert max(map(len, lines[1:])) <= width  # Its first names a path, which is there to be copied.
    (row,) = [line for line in lines if line.startswith("ios/m.onnx ")]
    assert ("unverified → verified" in row) == (width == 140)


def test_the_file_must_be_there(built: Inside, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--against", "nowhere.json"]) == 2


CALIBRATED = "    - {format: tflite, quantization: half, accept: close}\n"


def test_ranges_of_activations(modelbuild: Inside) -> None:
    recipe = modelbuild.space.project / "deploy.yaml"
    text = recipe.read_text()
    assert CALIBRATED in text
    recipe.write_text(text.replace(CALIBRATED, CALIBRATED + CALIBRATED.replace("half", "int8")))
    label = "android/m.tflite-int8"
    assert modelbuild("build", "android").code in (0, 3)  # The fake's float16 may break the bound.
    (entry,) = (
        e for e in modelbuild("report", "--json").json()["deployables"] if e["label"] == label
    )
    calibration = entry["calibration"]
    assert (calibration["method"], calibration["runs"], calibration["tensors"]) == ("min-max", 4, 1)
    found = modelbuild("report", "--ranges", label, "--json").json()
    ((low, high),) = found["tensors"][0]["ranges"]
    assert (found["label"], found["tensors"][0]["name"]) == (label, "x")
    assert low < high
    shown = modelbuild("report", "--ranges", label).out
    assert f"{label}: ranges by min-max over 4 runs" in shown
    assert f"{low:.4g}" in shown
    assert f"{high:.4g}" in shown
    verbose = modelbuild("report", label, "-v").out
    assert f"ranges of {label}: 1 tensor by min-max, 4 runs" in verbose
    plain = modelbuild("report", "--ranges", "android/m.tflite")
    assert (plain.code, "was not calibrated" in plain.err) == (1, True)
    assert modelbuild("report", "--ranges", "nonsense").code == 4
    assert modelbuild("report", label, "--ranges", label).code == 2
    modelbuild.space.store.rename(modelbuild.space.store.with_name("gone"))
    lost = modelbuild("report", "--ranges", label)
    assert (lost.code, "not in the store any more" in lost.err) == (1, True)


def test_a_target_that_was_not_built_is_no_unknown_one(modelbuild: Inside) -> None:
    modelbuild("build", "ios")
    said = modelbuild("report", "android")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "not built by the last build: android/m.tflite, android/m.tflite-half\n"
        "hint: run `modelbuild build android`\n"
    )
    one = modelbuild("report", "android/m.tflite", "ios/m.onnx").out
    assert "1 deployable: 1 verified." in one
    assert "not built by the last build: android/m.tflite\n" in one
    record = modelbuild("report", "android", "--json").json()
    assert record["deployables"] == []
    assert record["not_built"] == ["android/m.tflite", "android/m.tflite-half"]
    ranges = modelbuild("report", "--ranges", "android/m.tflite")
    assert ranges.code == 1
    assert "the last build did not build `android/m.tflite`" in ranges.err
    for unknown in ("andriod", "server"):
        assert modelbuild("report", unknown).code == 4
        assert modelbuild("report", "--ranges", unknown).code == 4
