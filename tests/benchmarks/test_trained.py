"""Trained networks of others: their digests are checked, and they are fed what they know. No network."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import buildsys
from benchmarks.faults import projects
from benchmarks.faults.trained import networks, signals, table, wheels
from buildsys.planner.entries import entries


@pytest.fixture
def no_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty files in the place of what the wheels hold."""
    for network in networks.NETWORKS.values():
        path = tmp_path / "wheels" / network.package / network.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(wheels, "unpacked", lambda package: tmp_path / "wheels" / package)
    return tmp_path


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_each_network_is_a_valid_recipe(no_wheels: Path, name: str) -> None:
    path = projects.write(no_wheels / "a", name, projects.ENTRIES)
    recipe = buildsys.load(path)
    model = recipe.spec.models[name]
    columns = {projects.column(entry.label) for entry in entries(recipe)}
    assert columns == {c for c in projects.ENTRIES if projects.allowed(name, c)}
    assert not any("static" in column for column in columns)
    assert any("coreml" in column for column in columns) == (name != "silero_vad")
    with np.load(path.parent / "samples.npz") as samples:
        assert set(samples) == set(model.inputs)
        for port, declared in model.inputs.items():
            rows = samples[port]
            assert rows.shape[0] == projects.SAMPLES
            assert rows.dtype == declared.dtype
            # A dataset's rows may leave a batch axis of one out.
            sizes = declared.shape[1:] if "N" in declared.shape else declared.shape
            assert list(rows.shape[1:]) == list(sizes)[-rows[0].ndim :] if rows[0].ndim else True
            assert np.isfinite(rows).all()
    other = projects.write(no_wheels / "b", name, projects.ENTRIES, seed=2).parent / "samples.npz"
    assert other.read_bytes() != (path.parent / "samples.npz").read_bytes()


def test_signals_are_of_the_size_that_the_networks_know() -> None:
    rng = np.random.default_rng(3)
    frame = signals.frames(rng)["frames"].astype(float)
    assert (abs(frame.mean()), frame.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1))
    picture = signals.pictures(rng)["images"].astype(float)
    assert (picture.min() >= 0, picture.max() <= 1, picture.std() > 0.1) == (True, True, True)
    kinds = np.stack([signals.files(rng)["bytes"] for _ in range(20)])
    assert (int(kinds.min()), int(kinds.max())) == (0, 255)
    mels = signals.spectrograms(rng)["mels"].astype(float)
    assert (mels >= 0).all()
    # Slaney's bands have equal area: each weighs white noise alike.
    width = signals.RATE / signals.WINDOW
    assert signals.mel_filters().sum(axis=1)[10:] * width == pytest.approx(1, abs=0.15)


def test_wheels_are_pinned_by_digest() -> None:
    assert set(wheels.pins()) == {network.package for network in networks.NETWORKS.values()}
    for pin in wheels.pins().values():
        assert re.fullmatch(r"[a-z-]+==[0-9.]+ --hash=sha256:[0-9a-f]{64}", pin)


def test_a_wheel_is_brought_once_and_never_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []

    def run(command: list[str], input: str, **_: Any) -> Any:
        ran.append((command, input))
        target = Path(command[command.index("--target") + 1])
        target.mkdir(parents=True)
        (target / "half").touch()
        return SimpleNamespace(returncode=int(len(ran) == 1), stderr="hash mismatch")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(
        RuntimeError, match=r"the wheel of magika 1.0.3 cannot be had:\nhash mismatch"
    ):
        wheels.unpacked("magika", tmp_path)
    assert not any(tmp_path.iterdir())
    folder = wheels.unpacked("magika", tmp_path)
    assert (folder.name, [p.name for p in folder.iterdir()]) == ("magika-1.0.3", ["half"])
    assert wheels.unpacked("magika", tmp_path) == folder
    assert len(ran) == 2
    command, given = ran[1]
    assert "--require-hashes" in command
    assert "--hash=sha256:" in given


def test_the_table_says_what_was_judged_and_why_not_the_rest() -> None:
    good, bad = {"status": "verified"}, {"status": "failed", "cause": "too old\nand more"}
    row = {"onnx": {"healthy": {"1": good}}, "tflite": {"healthy": {"1": bad, "2": bad}}}
    text = table.section({"models": {"magika": row}}, {"magika": ["onnx", "tflite", "openvino"]})
    assert text.splitlines()[-1] == (
        "| magika | magika==1.0.3 | model.onnx | onnx | tflite: too old; openvino: was not run |"
    )
    text = table.section({"models": {"silero_vad": {}}}, {"silero_vad": []})
    assert text.splitlines()[-1].endswith(
        "| coreml, coreml-half, coreml-w8: Core ML has no inputs without axes |"
    )
