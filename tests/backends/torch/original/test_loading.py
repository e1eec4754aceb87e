"""Factories and checkpoints: what is wrong with them is said with its place."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.harness import Result, factory, interpreter, port, run_worker
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

IMAGE = [port("image", ["N", 1, 8, 8])]


def capture(project: Path, checkpoint: Path | None = None, **options: Any) -> Result:
    return run_worker(
        "torch",
        "torch",
        "worker:capture",
        inputs={"checkpoint": checkpoint} if checkpoint else {},
        options=factory(IMAGE, ["logits"], **options),
        project=project,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build():\n    return {}", "`model:build` returned a `dict`, not a torch.nn.Module"),
        (
            "def build():\n    raise ValueError('odd')",
            "`model:build` raised ValueError: odd (model.py:5)",
        ),
        ("build = 3", "`model:build` is not callable: it is of type `int`"),
        ("def make():\n    pass", "`model` has no `build`"),
        ("import nowhere", "does not import: ModuleNotFoundError: No module named 'nowhere'"),
        ("def build(:", "does not import: SyntaxError"),
    ],
)
def test_a_factory_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    got = capture(zoo.write(tmp_path, text=text))
    assert got.field == "source.factory"
    assert message in got.message
    assert "model.py:" in got.message or "model.py" not in message


def test_a_factory_in_a_module_that_is_not_there(tmp_path: Path) -> None:
    got = capture(zoo.write(tmp_path), entry="modell:build")
    assert "`modell` does not import" in got.message
    assert "put `modell.py` beside the recipe" in got.hint


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good and bad checkpoints of the CNN, and the CNN's project."""
    folder = zoo.write(tmp_path_factory.mktemp("checkpoints"))
    script = """
import torch, model, argparse
from safetensors.torch import save_file
torch.manual_seed(1)
net = model.build()
weights = net.state_dict()
save_file(weights, "good.safetensors")
torch.save({"state_dict": weights, "epoch": 3}, "wrapped.pt")
save_file(model.build(width=5).state_dict(), "wide.safetensors")
fewer = {k: v for k, v in weights.items() if k != "head.bias"}
save_file({**fewer, "extra.weight": torch.ones(2)}, "other.safetensors")
torch.save({"module." + k: v for k, v in weights.items()}, "parallel.pth")
torch.save(net, "pickle.pt")
torch.save({"state_dict": weights, "epoch": 3}["state_dict"] | {"epoch": 3}, "more.bin")
save_file({k: v.half() if v.is_floating_point() else v for k, v in weights.items()}, "half.safetensors")
torch.jit.save(torch.jit.script(net), "scripted.pt")
for name in ("good.safetensors", "wrapped.pt"):
    data = open(name, "rb").read()
    open("cut-" + name, "wb").write(data[: len(data) // 2])
open("pointer.safetensors", "w").write("version https://git-lfs.github.com/spec/v1\\n")
open("empty.pt", "w")
open("garbage.pt", "w").write("garbage\\n")
"""
    subprocess.run([interpreter("torch"), "-c", script], cwd=folder, check=True)
    return folder


def test_weights_are_loaded_whatever_the_file(checkpoints: Path) -> None:
    plain = capture(checkpoints)
    one = capture(checkpoints, checkpoints / "good.safetensors")
    two = capture(checkpoints, checkpoints / "wrapped.pt")
    assert one.bytes == two.bytes
    assert one.bytes != plain.bytes
    assert one.notes == []


def test_a_change_of_precision_is_said(checkpoints: Path) -> None:
    got = capture(checkpoints, checkpoints / "half.safetensors")
    assert got.error is None
    assert "turned from float16 to float32" in got.notes[0]


@pytest.mark.parametrize(
    ("name", "messages", "hint"),
    [
        (
            "wide.safetensors",
            ["`conv.weight` is [5, 1, 3, 3] in the checkpoint, [4, 1, 3, 3] in the model"],
            "args",
        ),
        ("other.safetensors", ["lacks `head.bias`", "the model has no `extra.weight`"], "args"),
        ("parallel.pth", ["the model has no `module.conv.weight`"], "begins with `module.`"),
        (
            "pickle.pt",
            ["a pickle that would run code", "`model.Net`"],
            "torch.save(model.state_dict()",
        ),
        ("more.bin", ["beside weights `epoch`"], "state_dict"),
        ("scripted.pt", ["is a TorchScript file"], "torchscript:"),
        ("cut-good.safetensors", ["cannot be read", "damaged"], "None"),
        ("cut-wrapped.pt", ["cannot be read", "damaged"], "None"),
        ("pointer.safetensors", ["git lfs pull"], "None"),
        ("garbage.pt", ["not a checkpoint that torch can read", "of another kind"], "None"),
        ("empty.pt", ["it is empty"], "None"),
        ("model.py", ["`*.py` is of an unknown kind"], ".safetensors"),
    ],
)
def test_a_checkpoint_that_does_not_do(
    checkpoints: Path, name: str, messages: list[str], hint: str
) -> None:
    got = capture(checkpoints, checkpoints / name)
    assert got.field == "source.checkpoint"
    for message in messages:
        assert message in got.message
    assert hint in got.hint
    assert str(checkpoints) not in got.message


def test_the_original_is_run_on_the_samples(tmp_path: Path) -> None:
    from buildsys.backends.kit.protocol import arrays

    images = np.random.default_rng(0).standard_normal((5, 1, 8, 8)).astype(np.float32)
    arrays.save(tmp_path / "in.npz", {"image": images})
    options = factory(IMAGE, ["logits"], latency={"warmup": 1, "runs": 3})
    got = run_worker(
        "torch",
        "torch",
        "original.reference:reference",
        inputs={"samples": tmp_path / "in.npz"},
        outputs={"samples": "out.npz", "run": "run.json"},
        options=options,
        project=zoo.write(tmp_path / "project"),
    )
    logits = got.arrays()["logits"]
    assert logits.shape == (5, 3)
    assert np.ptp(logits, axis=0).min() > 0
    run = got.json("run")
    assert run["runtime"].startswith("torch 2.")
    assert run["batch_sizes"] == [1, 5]
