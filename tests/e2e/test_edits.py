"""Each edit alone, from a clean state: `plan` names the cause, `build` runs just what is below it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from buildsys.backends import onnx
from buildsys.store import Store
from buildsys.store.database import sum_of
from tests.e2e.project import Project

pytestmark = pytest.mark.toolchain

RUNS_MODEL_CODE = {
    "torch.capture": 1,
    "torch.export": 1,
    "torch.reference": 1,
    "torch.floor": 1,
    "torch.weights": 1,
    "torch.rounded": 1,  # Of coreml in float16.
}
RUNS = {
    "onnx.run": 1,
    "tflite.run": 2,
    "coreml.evaluate": 1,
    "onnx.weights": 1,
    "tflite.weights": 2,
    "coreml.weights": 1,
}
MEASURES = {"verify.measure": 4, "verify.weights": 4}  # onnx, asked for twice, is one artifact.
CONVERTS = {
    "onnx.export": 1,
    "coreml.convert": 1,
    "tflite.convert": 1,
    "tflite.quantize": 1,
}
TARGETS = ("ios", "android")


def unchanged_after_revert(project: Project, clean: dict[str, bytes]) -> None:
    result = project.build(*TARGETS)
    assert result.started() == 0
    assert project.deployables() == clean


def test_weights(digits: Project) -> None:
    clean = digits.deployables()
    path = digits.folder / "weights.safetensors"
    data = path.read_bytes()
    changed = bytearray(data)
    changed[-3] ^= 0x10  # A low bit of the last weight.
    path.write_bytes(changed)
    assert "weights.safetensors changed (" in digits.reasons(*TARGETS)
    result = digits.build(*TARGETS)
    assert result.ran() == RUNS_MODEL_CODE | CONVERTS | RUNS | MEASURES
    assert digits.deployables() != clean
    path.write_bytes(data)
    unchanged_after_revert(digits, clean)


def test_a_line_of_the_model_that_changes_the_graph(digits: Project) -> None:
    clean = digits.deployables()
    source = (digits.folder / "model.py").read_text()
    match = re.search(r"def forward\(self, (\w+).*\n(?:        \"\"\".*\n)?", source)
    assert match is not None
    (digits.folder / "model.py").write_text(
        source[: match.end()] + f"        {match[1]} = {match[1]} * 1.5\n" + source[match.end() :]
    )
    assert "model.py changed" in digits.reasons(*TARGETS)
    result = digits.build(*TARGETS)
    assert result.ran() == RUNS_MODEL_CODE | CONVERTS | RUNS | MEASURES
    (digits.folder / "model.py").write_text(source)
    unchanged_after_revert(digits, clean)


@pytest.mark.parametrize("name", ["model.py", "layers.py"])
def test_a_comment_is_captured_again_and_nothing_follows(digits: Project, name: str) -> None:
    """All actions that run the model's own code run; their bytes come out as they were."""
    clean = digits.deployables()
    path = digits.folder / name
    source = path.read_text()
    path.write_text("# A comment, which moves every line.\n" + source)
    plan = digits.plan(*TARGETS)
    assert f"{name} changed" in digits.reasons(*TARGETS)
    assert {d["sign"] for d in plan["deployables"]} <= {"~", "?"}
    assert plan["summary"]["run"] == 5
    assert digits.build(*TARGETS).ran() == RUNS_MODEL_CODE
    assert digits.deployables() == clean
    path.write_text(source)
    unchanged_after_revert(digits, clean)


def test_calibration_data(digits: Project) -> None:
    digits.build()
    clean = digits.deployables()
    path = digits.folder / "data" / "train.npz"
    saved = path.read_bytes()
    with np.load(path) as archive:
        x, y = archive["x"], archive["y"]
    np.savez(path, x=x[::-1] * 0.5, y=y[::-1])
    assert "data/train.npz changed" in digits.reasons()
    result = digits.build()
    assert result.ran() == {
        "data.sample": 1,
        "tflite.quantize": 1,
        "tflite.run": 1,
        "tflite.weights": 1,
        "verify.weights": 1,
        "verify.measure": 1,
    }
    path.write_bytes(saved)
    result = digits.build()
    assert result.started() == 0
    assert digits.deployables() == clean


def test_an_option_of_one_deployable(digits: Project) -> None:
    clean = digits.deployables()
    digits.edit("deploy.yaml", "compute_units: all", "compute_units: cpu_only")
    reasons = digits.reasons(*TARGETS)
    assert re.search(r"compute_units: all → cpu_only \(deploy\.yaml:\d+:\d+\)", reasons), reasons
    result = digits.build(*TARGETS)
    # It is in the metadata: what was computed and read comes out as it was.
    assert result.ran() == {"coreml.convert": 1, "coreml.evaluate": 1, "coreml.weights": 1}
    digits.edit("deploy.yaml", "compute_units: cpu_only", "compute_units: all")
    unchanged_after_revert(digits, clean)


def test_a_tolerance(digits: Project) -> None:
    clean = digits.deployables()
    digits.edit("deploy.yaml", "quantized: {signal_error: 0.02", "quantized: {signal_error: 1.0e-9")
    assert digits.plan(*TARGETS)["summary"] == {
        **digits.plan(*TARGETS)["summary"],
        "run": 0,
        "maybe": 0,
    }
    result = digits.build(*TARGETS)
    assert (result.code, result.started()) == (3, 0)
    assert result.statuses()["android/classifier.tflite-dyn"] == "rejected"
    folder = digits.folder / "artifacts"
    name = digits.report()["android/classifier.tflite-dyn"]["path"]
    assert name.startswith("artifacts/.rejected/android/")
    assert (digits.folder / name).exists()
    assert (folder / "android" / "classifier.tflite").exists()
    assert not (folder / "android" / Path(name).name).exists()
    digits.edit("deploy.yaml", "quantized: {signal_error: 1.0e-9", "quantized: {signal_error: 0.02")
    unchanged_after_revert(digits, clean)


def test_a_toolchain_s_lock(digits: Project) -> None:
    """Another version in ONNX Runtime's environment: what runs there runs again, nothing else."""
    clean = digits.deployables()
    lock = Path(onnx.__file__).parent / "lock.txt"
    text = lock.read_text()
    shutil.copy(lock, digits.folder / "onnx.lock.txt")
    recipe = digits.folder / "deploy.yaml"
    saved = recipe.read_text()
    recipe.write_text(saved + "\ntoolchains:\n  onnx: {lock: onnx.lock.txt}\n")
    assert digits.build(*TARGETS).started() == 0  # The same lock from another place.
    (digits.folder / "onnx.lock.txt").write_text("# A comment.\n" + text)
    assert digits.build(*TARGETS).started() == 0  # The same packages by another lock.
    changed = re.sub(
        r"^flatbuffers==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+",
        "flatbuffers==25.9.23\n",
        text,
        flags=re.M,
    )
    assert changed != text
    (digits.folder / "onnx.lock.txt").write_text(changed)
    result = digits.build(*TARGETS)
    assert result.code == 0, result.stdout + result.stderr
    assert result.ran()["onnx.run"] == 1
    assert set(result.ran()) <= {"onnx.run", "onnx.weights", "verify.measure"}
    recipe.write_text(saved)
    unchanged_after_revert(digits, clean)


def test_touching_everything(digits: Project) -> None:
    clean = digits.deployables()
    for file in digits.folder.rglob("*"):
        os.utime(file)
    unchanged_after_revert(digits, clean)


def test_a_wrong_weight_in_a_converted_artifact_is_rejected(digits: Project) -> None:
    """What a broken converter would leave: an artifact that loads and runs, and is wrong."""
    clean = digits.deployables()
    store = Store(digits.store)
    with sqlite3.connect(digits.store / "index.sqlite") as connection:
        ((key, manifest, outputs, notes),) = connection.execute(
            "select key, manifest, outputs, notes from trace where rule = 'tflite.convert'"
        )
        record = json.loads(outputs)
        artifact = bytearray(store.read(record["artifact"][0]))
        position = place_of_a_weight(digits.folder / "weights.safetensors", bytes(artifact))
        artifact[position : position + 4] = np.float32(-3.0).tobytes()
        (digits.store / "wrong").write_bytes(artifact)
        stored = store.put(digits.store / "wrong")
        record["artifact"] = [stored.digest, stored.size]
        put = json.dumps(record)
        connection.execute(
            "update trace set outputs = ?, sum = ? where key = ?",
            (put, sum_of(key, manifest, put, notes), key),
        )
    connection.close()
    result = digits.build(*TARGETS)
    assert result.code == 3, result.stdout + result.stderr
    statuses = result.statuses()
    assert statuses["android/classifier.tflite"] == "rejected"
    assert statuses["android/classifier.onnx"] == "verified"
    assert statuses["ios/classifier.onnx"] == "verified"
    after = digits.deployables()
    assert ".rejected/android/classifier.tflite" in after
    assert "android/classifier.tflite" not in after
    for name in ("android/classifier.onnx", "ios/classifier.onnx"):
        assert after[name] == clean[name]


def place_of_a_weight(checkpoint: Path, artifact: bytes) -> int:
    """Where the first element of a matrix of the checkpoint lies in an artifact's bytes."""
    data = checkpoint.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    for entry in header.values():
        if len(entry.get("shape", ())) == 2:
            start = 8 + length + entry["data_offsets"][0]
            position = artifact.find(data[start : start + 64])
            if position >= 0:
                return position
    raise AssertionError("no matrix of the checkpoint stands in the artifact as it is")
