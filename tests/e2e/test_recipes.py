"""The committed recipes, from an empty store to judged artifacts, by the real converters and runtimes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.project import Project, Result
from tests.profile import by_day
from tests.release.test_selftest import unpacked

pytestmark = pytest.mark.toolchain
Builds = dict[str, tuple[Project, Result]]
RECIPES = ("digits", "activity")


@pytest.mark.parametrize("recipe", RECIPES)
def test_everything_is_verified_but_core_ml_which_is_evaluated_and_says_so(
    first_builds: Builds, recipe: str
) -> None:
    project, result = first_builds[recipe]
    assert result.code == 0, result.stdout + result.stderr
    assert result.statuses() == {
        "ios/classifier.coreml-fp16": "checked",
        "ios/classifier.onnx": "verified",
        "android/classifier.tflite": "verified",
        "android/classifier.tflite-dyn": "verified",
        "android/classifier.onnx": "verified",
    }
    report = project.report()
    coreml = report["ios/classifier.coreml-fp16"]
    assert "Core ML itself, which needs a Mac, did not run it" in coreml["reason"]
    assert coreml["measurement"]["runtime"].startswith("modelbuild's evaluator")
    for label, entry in report.items():
        path = project.folder / entry["path"]
        assert path.exists(), label
        assert all(gate["pass"] for gate in entry["gates"]), entry["gates"]
    assert report["android/classifier.tflite"]["measurement"]["runtime"].startswith(
        "ai-edge-litert"
    )
    assert report["ios/classifier.onnx"]["measurement"]["runtime"].startswith("onnxruntime")


@pytest.mark.parametrize("recipe", RECIPES)
def test_top1_on_the_whole_validation_set_is_within_a_point_of_the_original(
    first_builds: Builds, recipe: str
) -> None:
    import numpy as np

    project, _ = first_builds[recipe]
    count = len(np.load(project.folder / "data" / "val.npz")["y"])
    for label, entry in project.report().items():
        metric = entry["measurement"]["metric"]
        assert metric["name"] == "top1"
        assert metric["count"] == count, label
        assert abs(metric["value"] - metric["reference"]) <= 0.01, (label, metric)
        assert metric["reference"] > 0.9


@pytest.mark.parametrize("recipe", RECIPES)
def test_names_order_and_layout_are_the_recipe_s(first_builds: Builds, recipe: str) -> None:
    project, _ = first_builds[recipe]
    wanted = {"digits": ("image", [1, 8, 8]), "activity": ("window", [100, 6])}[recipe]
    for label, entry in project.report().items():
        (given,) = entry["io"]["inputs"]
        (made,) = entry["io"]["outputs"]
        assert (given["name"], given["shape"][1:]) == wanted, label
        assert given["permutation"] is None
        assert given["dtype"] == "float32"
        assert made["name"] == "logits"
        assert made["permutation"] is None


def test_routes_are_the_ones_asked_for(first_builds: Builds) -> None:
    digits = first_builds["digits"][0].report()["android/classifier.tflite"]
    assert digits["route"] == ["torch.export", "onnx.export", "tflite.convert"]
    assert sorted(digits["toolchains"]) == ["onnx-export", "tflite-onnx", "torch"]
    activity = first_builds["activity"][0].report()["android/classifier.tflite"]
    assert activity["route"] == ["torch.export", "tflite.convert"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_second_build_runs_nothing_starts_nothing_and_writes_nothing(
    first_builds: Builds, recipe: str
) -> None:
    project, _ = first_builds[recipe]
    before = project.snapshot()
    result = project.build("ios", "android")
    assert result.code == 0
    assert result.started() == 0
    assert result.ran() == {}
    assert project.snapshot() == before
    check = project.run("plan", "--check", "ios", "android")
    assert check.code == 0, check.stdout
    assert "Everything is up to date" in check.stdout


@pytest.mark.parametrize("recipe", by_day(RECIPES))
def test_another_folder_store_and_hash_seed_give_the_same_bytes(
    first_builds: Builds, recipe: str, tmp_path: Path
) -> None:
    project, _ = first_builds[recipe]
    other = Project.copy_of(recipe, tmp_path / "some" / "where" / "else", hash_seed="4711")
    result = other.build("ios", "android", "-j1")
    assert result.code == 0, result.stderr
    mine, theirs = project.deployables(), other.deployables()
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if mine[name] != theirs[name]] == []
    needle = str(tmp_path).encode()
    assert [name for name in theirs if needle in theirs[name]] == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_bundle_holds_what_was_built_and_every_change_is_found(
    first_builds: Builds, recipe: str, tmp_path: Path
) -> None:
    project, _ = first_builds[recipe]
    for folder in ("one", "two"):
        made = project.run("bundle", "create", "android", "--to", str(tmp_path / folder))
        assert made.code == 0, made.stderr
    (one,) = (tmp_path / "one").iterdir()
    (two,) = (tmp_path / "two").iterdir()
    assert one.name == f"{recipe}-1.0.0-android.tar.zst"
    assert one.read_bytes() == two.read_bytes()
    verified = project.run("bundle", "verify", str(one))
    assert verified.code == 0, verified.stderr
    manifest = json.loads(project.run("bundle", "inspect", str(one)).stdout)
    artifacts = {a["label"]: a for a in manifest["artifacts"]}
    assert set(artifacts) == {label for label in project.report() if label.startswith("android/")}
    tflite = artifacts["android/classifier.tflite"]
    assert {"model.py", "weights.safetensors"} <= set(tflite["sources"])
    assert tflite["status"] == "verified"
    assert tflite["measurement"]["outputs"]["logits"]["signal_error"] < 1e-5


def test_a_bundle_is_judged_by_its_own_script_in_other_environments(
    digits: Project, tmp_path: Path, toolchain_python: Callable[[str], Path]
) -> None:
    made = digits.run("bundle", "create", "android", "--self-test", "--to", str(tmp_path / "out"))
    assert made.code == 0, made.stderr
    (archive,) = (tmp_path / "out").iterdir()
    root = unpacked(archive, tmp_path / "unpacked")

    def judged(toolchain: str) -> tuple[int, dict[str, str]]:
        command = [str(toolchain_python(toolchain)), str(root / "selftest.py"), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = json.loads(done.stdout)["artifacts"]
        return done.returncode, {each["label"]: each["status"] for each in found}

    onnx = "android/classifier.onnx"
    lite = ["android/classifier.tflite", "android/classifier.tflite-dyn"]
    assert judged("onnx") == (5, {onnx: "passed", **dict.fromkeys(lite, "not run")})
    assert judged("tflite") == (5, {onnx: "not run", **dict.fromkeys(lite, "passed")})
    # One sign of one weight, in a file that is as valid as before.
    flip = (
        "import onnx, sys; model = onnx.load(sys.argv[1]);"
        "weight = max(model.graph.initializer, key=lambda w: len(w.raw_data));"
        "raw = bytearray(weight.raw_data); raw[3] ^= 128; weight.raw_data = bytes(raw);"
        "onnx.save(model, sys.argv[1])"
    )
    artifact = root / "classifier.onnx"
    subprocess.run([toolchain_python("onnx"), "-c", flip, artifact], check=True)
    assert judged("onnx") == (3, {onnx: "failed", **dict.fromkeys(lite, "not run")})


def test_static_int8_with_calibration_is_verified(digits: Project) -> None:
    result = digits.build("edge")
    assert result.code == 0, result.stdout + result.stderr
    assert result.statuses() == {"edge/classifier.tflite-int8": "verified"}
    # The float artifact and the reference were there already.
    assert result.ran() == {
        "data.sample": 1,
        "tflite.quantize": 1,
        "tflite.run": 1,
        "tflite.weights": 1,
        "verify.weights": 1,
        "verify.measure": 1,
    }


def test_what_nothing_runs_is_not_bundled_and_strict_makes_it_an_error(
    digits: Project, tmp_path: Path
) -> None:
    recipe = digits.folder / "deploy.yaml"
    text = recipe.read_text().replace("format: coreml", "format: mlmodel")
    text = text.replace("{minimum_deployment_target: iOS16, compute_units: all}", "{author: us}")
    recipe.write_text(text)
    assert digits.build("ios").code == 0
    refused = digits.run("bundle", "create", "ios", "--to", str(tmp_path / "bundles"))
    assert refused.code == 3
    assert "is unverified" in refused.stderr
    assert not list(tmp_path.glob("bundles/*"))
    result = digits.run("build", "ios", "--strict")
    assert result.code == 3
    assert "error: `--strict`, and not everything is verified" in result.stdout


def test_artifacts_are_benchmarked_in_turns_with_the_float_ones(digits: Project) -> None:
    """Real runtimes, few rounds: what the figures are made of, not how fast anything is."""
    digits.edit(
        "deploy.yaml",
        "    capture: trace\n",
        "    capture: trace\n    benchmark: {runs: 6, warmup: 1, starts: 1}\n",
    )
    digits.edit("deploy.yaml", "  edge:\n", "  edge:\n    - {format: onnx, quantization: dyn}\n")
    runtimes = {
        "android/classifier.tflite-dyn": "ai-edge-litert",
        "edge/classifier.onnx-dyn": "onnxruntime",
    }
    result = digits.build(*runtimes)
    assert result.code == 0, result.stdout + result.stderr
    ran = result.ran()
    # The float artifacts were there: they are run, and measured by themselves no more.
    assert (ran["tflite.benchmark"], ran["onnx.benchmark"]) == (1, 1)
    assert not ran.keys() & {"tflite.convert", "onnx.export"}
    report = digits.report()
    for label, runtime in runtimes.items():
        entry = report[label]
        assert entry["bytes"] == (digits.folder / entry["path"]).stat().st_size
        found = entry["benchmark"]
        assert found["runtime"].startswith(runtime)
        assert found["settings"] == {
            "threads": 1,
            "warmup": 1,
            "runs": 6,
            "batch": 1,
            "starts": 1,
        }
        beside = found["against_float"]
        for latency in (found["latency_ms"], beside["latency_ms"]):
            assert 0 < latency["low"] <= latency["high"]
            assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
        assert beside["rounds"] == 6
        assert 0 < beside["low"] <= beside["ratio"] <= beside["high"]
        # By the mean of all runs: half of them take the median or longer.
        assert 0 < found["throughput"] <= 2 * 1000 / found["latency_ms"]["p50"]
        start, memory = found["cold_start_ms"], found["memory_bytes"]
        assert start["starts"] == 1
        assert min(start["load"], start["first_run"]) > 0
        assert start["total"] == pytest.approx(start["load"] + start["first_run"], abs=0.01)
        # A process with the runtime and the artifact in it, after the one without.
        assert 10 << 20 < memory["before"] < memory["peak"] < 4 << 30
    assert digits.build(*runtimes).started() == 0
