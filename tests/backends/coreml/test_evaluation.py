"""Packages are held against the original by the evaluator, and on a Mac the evaluator against Core ML."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.backends.coreml import packages
from tests.backends.coreml.convert.test_images import classifier, convert
from tests.support.harness import Result, run_worker

pytestmark = pytest.mark.toolchain
Arrays = dict[str, NDArray[Any]]


def run(
    zoo: Path, model: str, made: Result, samples: Path, runtime: str = "coreml.evaluation"
) -> Result:
    told = json.loads((zoo / f"{model}.options.json").read_text())
    return run_worker(
        "coreml",
        "kit",
        "run.measurement:run_artifact",
        inputs={"artifact": made.artifact, "io": made.outputs["io"], "samples": samples},
        outputs={"samples": "out.npz", "run": "run.json"},
        options=told | {"dynamic": False, "runtime_module": runtime, "latency": None},
    )


def known(zoo: Path, model: str, folder: Path) -> tuple[Path, Arrays]:
    """The samples of a model of the zoo as a file, and torch's outputs for them."""
    held = np.load(zoo / f"{model}.npz")
    given = {name[3:]: held[name] for name in held if name.startswith("in.")}
    np.savez(folder / f"{model}.npz", **given)
    wanted = {name[4:]: held[name] for name in held if name.startswith("out.")}
    return folder / f"{model}.npz", wanted


def error(found: Any, wanted: NDArray[Any]) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted - wanted.mean(0)))


@pytest.mark.parametrize(("scheme", "bound"), [(None, 1e-5), ("float16", 3e-2)])
def test_outputs_are_the_original_s(
    zoo: Path, tmp_path: Path, scheme: str | None, bound: float
) -> None:
    samples, wanted = known(zoo, "segment", tmp_path)
    ran = run(zoo, "segment", convert(zoo, "segment", scheme=scheme), samples)
    found = ran.arrays()
    errors = {name: error(found[name], wanted[name]) for name in wanted}
    assert max(errors.values()) < bound, errors
    assert ran.json("run")["runtime"].startswith("modelbuild's evaluator (torch 2.")
    assert ran.notes == []


@pytest.mark.parametrize("suffix", [".pt", ".pt2"])
def test_what_coremltools_converts_wrongly_is_mended(
    masked: Path, tmp_path: Path, suffix: str
) -> None:
    """Its `inverse` adds 1e-4, it knows no `alias`, and it attends where a mask lets nothing pass."""
    samples, wanted = known(masked, "mended", tmp_path)
    made = packages.convert(masked, "mended", suffix)
    found = run(masked, "mended", made, samples).arrays()
    assert error(found["y"], wanted["y"]) < 1e-6
    nothing = (np.load(samples)["x"].reshape(-1, 4, 4) <= 0.5).all(axis=-1)
    assert nothing.any()
    assert not found["attended"][nothing].any()
    assert error(found["attended"], wanted["attended"]) < 1e-6


def test_an_exported_lstm_is_the_original_s(zoo: Path, tmp_path: Path) -> None:
    samples, wanted = known(zoo, "lstm", tmp_path)
    made = packages.convert(zoo, "lstm", ".pt2")
    assert error(run(zoo, "lstm", made, samples).arrays()["scores"], wanted["scores"]) < 1e-5


def test_pictures_and_classes_are_measured_as_arrays(zoo: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 17, (6, 1, 8, 8))
    samples = tmp_path / "pictures.npz"
    np.savez(samples, image=((pixels / 16 - 0.5) / 0.25).astype(np.float32))
    plain = run(zoo, "cnn", convert(zoo, "cnn"), samples).arrays()["logits"]
    ran = run(zoo, "cnn", classifier(zoo, "coreml"), samples)
    assert ran.arrays()["logits"].shape == plain.shape
    assert error(ran.arrays()["logits"], plain) < 1e-6
    assert ran.notes == []
    random, wanted = known(zoo, "cnn", tmp_path)
    ran = run(zoo, "cnn", classifier(zoo, "coreml"), random)
    assert error(ran.arrays()["logits"], wanted["logits"]) < 1e-5
    (note,) = ran.notes
    assert note.startswith("samples of `image` are not pictures")


def test_what_overflows_is_told(zoo: Path, tmp_path: Path) -> None:
    held = np.load(zoo / "segment.npz")
    samples = tmp_path / "huge.npz"
    np.savez(samples, photo=held["in.photo"] * np.float32(3e4))
    ran = run(zoo, "segment", convert(zoo, "segment", scheme="float16"), samples)
    (note,) = ran.notes
    assert "overflow its declared type" in note


@pytest.mark.skipif(sys.platform != "darwin", reason="Core ML runs on a Mac only")
@pytest.mark.parametrize(("scheme", "bound"), [(None, 1e-3), ("float16", 3e-2)])
@pytest.mark.parametrize("model", ["cnn", "lstm", "segment"])
def test_core_ml_and_the_evaluator_agree(
    zoo: Path, tmp_path: Path, model: str, scheme: str | None, bound: float
) -> None:
    samples, _ = known(zoo, model, tmp_path)
    made = convert(zoo, model, scheme=scheme)
    evaluated = run(zoo, model, made, samples).arrays()
    real = run(zoo, model, made, samples, "coreml.runtime")
    assert real.json("run")["runtime"].startswith("Core ML of macOS")
    for name, array in real.arrays().items():
        assert error(array, evaluated[name]) < bound, name
