"""The recipes' models are alive: a dead network passes any comparison with itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from buildsys.recipe import load

RECIPES = Path(__file__).parents[2] / "recipes"
PROBE = Path(__file__).with_name("alive_probe.py")
NAMES = ["digits", "activity"]
CLASSES = {"digits": 10, "activity": 4}
LEAST_VALIDATION = {"digits": 360, "activity": 40}
LEAST_ACCURACY = {"digits": 0.97, "activity": 0.9}
MIB = 1 << 20


def figures(name: str) -> dict[str, str]:
    """The table of figures in a recipe's README."""
    text = (RECIPES / name / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w -]+) \| ([\d.,]+) \|$", text, flags=re.MULTILINE)
    return dict(rows)


def declared(name: str) -> tuple[dict[str, Any], list[str]]:
    """The model's source, and the arrays that feed it, from `deploy.yaml`."""
    recipe = yaml.safe_load((RECIPES / name / "deploy.yaml").read_text(encoding="utf-8"))
    model = recipe["models"]["classifier"]
    return model["source"], [recipe["datasets"]["val"]["inputs"][port] for port in model["inputs"]]


def probed(
    name: str, python: Path, home: Path, *, folder: Path | None = None, factory: str | None = None
) -> dict[str, Any]:
    """What the probe finds about a recipe's model, or about another factory in a copy of it."""
    source, arrays = declared(name)
    source["factory"] = factory or source["factory"]
    splits = {split: [f"data/{split}.npz", arrays, "y"] for split in ("train", "val")}
    done = subprocess.run(
        [python, "-I", "-B", PROBE],
        input=json.dumps(source | {"splits": splits}),
        cwd=folder or RECIPES / name,
        env={"PATH": os.defpath, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def dead_tensors(found: dict[str, Any]) -> set[str]:
    return {tensor for tensor, moved in found["moved"].items() if not moved > 1e-3}


@pytest.fixture(scope="module")
def cached() -> dict[str, dict[str, Any]]:
    return {}


@pytest.fixture(params=NAMES)
def alive(
    request: pytest.FixtureRequest, cached: dict[str, dict[str, Any]], tmp_path: Path
) -> tuple[str, dict[str, Any]]:
    """A recipe's name, and what the probe found; each model is probed once."""
    name: str = request.param
    if name not in cached:
        cached[name] = probed(name, torch_python(request), tmp_path)
    return name, cached[name]


def torch_python(request: pytest.FixtureRequest) -> Path:
    """The toolchain's Python, which has torch."""
    return Path(request.getfixturevalue("toolchain_python")("torch"))


@pytest.mark.toolchain
def test_outputs_vary_over_inputs(alive: tuple[str, dict[str, Any]]) -> None:
    name, found = alive
    for split, outputs in found["outputs"].items():
        assert outputs["finite"], split
        assert outputs["signal"] > 0.5, split
        assert outputs["least_varying"] > 0.3, split
        assert outputs["classes"] == CLASSES[name], split


@pytest.mark.toolchain
def test_each_tensor_of_weights_moves_the_outputs(alive: tuple[str, dict[str, Any]]) -> None:
    _, found = alive
    assert found["moved"]
    assert not dead_tensors(found)


@pytest.mark.toolchain
def test_the_committed_weights_are_those_of_the_readme(alive: tuple[str, dict[str, Any]]) -> None:
    name, found = alive
    for split, accuracy in found["accuracy"].items():
        assert f"{accuracy:.4f}" == figures(name)[f"{split} top-1"], split
    assert f"{found['parameters']:,}" == figures(name)["parameters"]
    assert found["accuracy"]["val"] >= LEAST_ACCURACY[name]


DEAD = """

def dead(**args):
    model = build(**args)
    model.forward = lambda image: model.head.bias.expand(len(image), -1)
    return model
"""


@pytest.mark.toolchain
def test_the_probe_finds_a_dead_model(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The check is checked: a model that answers with its bias, whatever it is shown."""
    folder = tmp_path / "digits"
    shutil.copytree(RECIPES / "digits", folder)
    with (folder / "model.py").open("a", encoding="utf-8") as model:
        model.write(DEAD)
    python = torch_python(request)
    found = probed("digits", python, tmp_path, folder=folder, factory="model:dead")
    assert found["outputs"]["val"]["signal"] < 1e-6
    assert found["outputs"]["val"]["classes"] == 1
    assert set(found["moved"]) - dead_tensors(found) == {"head.bias"}


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_enough_to_commit(name: str) -> None:
    assert 0 < (RECIPES / name / "weights.safetensors").stat().st_size <= MIB


@pytest.mark.parametrize("name", NAMES)
def test_data(name: str) -> None:
    rows: dict[str, set[bytes]] = {}
    for split in ("train", "val"):
        with np.load(RECIPES / name / "data" / f"{split}.npz") as data:
            x, y = data["x"], data["y"]
        assert x.dtype == np.float32
        assert np.isfinite(x).all()
        assert y.shape == (len(x),)
        assert set(y) == set(range(CLASSES[name]))
        if split == "val":
            # The recipe's samples are the first 32: each class must be among them.
            assert set(y[:32]) == set(range(CLASSES[name]))
        rows[split] = {row.tobytes() for row in x}
    assert len(rows["val"]) >= LEAST_VALIDATION[name]
    assert not rows["train"] & rows["val"], "a validation sample is in the training set"


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_is_valid_and_holds_both_platforms(name: str) -> None:
    spec = load(RECIPES / name / "deploy.yaml", environ={}).spec
    assert spec.project == name
    labels = {
        entry.label(target, model)
        for target, entries in spec.targets.items()
        for entry in entries
        for model in spec.models
    }
    assert labels >= {
        "ios/classifier.coreml-fp16",
        "ios/classifier.onnx",
        "android/classifier.tflite",
        "android/classifier.tflite-dyn",
        "android/classifier.onnx",
    }
    routes = {entry.route for entry in spec.targets["android"] if entry.format == "tflite"}
    assert routes == {{"digits": "onnx", "activity": "direct"}[name]}
