"""TorchScript and ExportedProgram files of the user's own, and their runtimes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from tests.support.harness import Result, interpreter, port, run_worker
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

IMAGE = [port("image", ["N", 1, 8, 8])]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files as users save them."""
    folder = zoo.write(tmp_path_factory.mktemp("files"))
    script = """
import torch, model
torch.manual_seed(1)
net = model.build().eval()
x = torch.randn(2, 1, 8, 8)
torch.jit.save(torch.jit.trace(net, x), "traced.pt")
torch.jit.save(torch.jit.script(net.train()), "training.pt")
net.eval()
dim = torch.export.Dim("batch", min=1, max=64)
torch.export.save(torch.export.export(net, (x,), dynamic_shapes={"x": {0: dim}}), "dynamic.pt2")
torch.export.save(torch.export.export(net, (x,)), "fixed.pt2")
torch.save(net.state_dict(), "weights.pt")
class Two(torch.nn.Module):
    def forward(self, a, b):
        return a - b
torch.jit.save(torch.jit.trace(Two().eval(), (x, x)), "two.pt")
class Lacking(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.positions = torch.nn.Parameter(torch.randn(1, 1, 5, 5))
    def forward(self, x):
        table = torch.nn.functional.interpolate(self.positions, size=(8, 8), mode="bicubic")
        larger = torch.nn.functional.interpolate(x, size=(9, 9), mode="bicubic")
        return (torch.diff(x + table, prepend=x.new_ones(x.shape[0], 1, 8, 1)).sum((1, 2))
            + larger.sum((1, 2, 3))[:, None])
lacking = Lacking().eval()
exported = torch.export.export(lacking, (x,), dynamic_shapes={"x": {0: dim}})
torch.export.save(exported, "lacking.pt2")
torch.jit.save(torch.jit.trace(lacking, x), "lacking.pt")
torch.save((x, lacking(x).detach()), "told")
"""
    subprocess.run([interpreter("torch"), "-W", "ignore", "-c", script], cwd=folder, check=True)
    return folder


def adopt(path: Path, kind: str, ports: list[dict[str, Any]], **options: Any) -> Result:
    described = {"source": {"kind": kind}, "ports": ports, "outputs": ["logits"], **options}
    return run_worker("torch", "torch", "worker:adopt", inputs={"source": path}, options=described)


@pytest.mark.parametrize(
    ("name", "kind"), [("traced.pt", "torchscript"), ("dynamic.pt2", "exported")]
)
def test_a_file_is_adopted_and_runs_the_same(
    files: Path, tmp_path: Path, name: str, kind: str
) -> None:
    got = adopt(files / name, kind, IMAGE)
    assert got.io.outputs[0].shape == ["N", 3]
    assert str(files).encode() not in got.bytes
    images = np.random.default_rng(0).standard_normal((4, 1, 8, 8)).astype(np.float32)
    arrays.save(tmp_path / "in.npz", {"image": images})
    options = {
        "ports": IMAGE,
        "outputs": ["logits"],
        "dynamic": True,
        "runtime_module": "torch.runtime",
        "latency": {"warmup": 1, "runs": 3},
    }
    run = run_worker(
        "torch",
        "kit",
        "run.measurement:run_artifact",
        inputs={"artifact": got.artifact, "io": got.outputs["io"], "samples": tmp_path / "in.npz"},
        outputs={"samples": "out.npz", "run": "run.json"},
        options=options,
    )
    assert run.arrays()["logits"].shape == (4, 3)
    assert run.json("run")["batch_sizes"] == [1, 4]


def test_a_program_is_adopted_without_what_converters_lack(files: Path) -> None:
    got = adopt(files / "lacking.pt2", "exported", IMAGE)
    assert got.notes == []
    assert got.io.outputs[0].shape == ["N", 8]
    for operator in (b"aten.diff", b"aten.new_ones", b"bicubic"):
        assert operator in (files / "lacking.pt2").read_bytes()
        assert operator not in got.bytes
    script = (
        "import torch, sys; x, want = torch.load('told')\n"
        "got = torch.export.load(sys.argv[1]).module()(x)\n"
        "assert torch.allclose(got, want, atol=1e-4), (got, want)"
    )
    copy = files / "adopted.pt2"
    copy.write_bytes(got.bytes)
    subprocess.run(
        [interpreter("torch"), "-W", "ignore", "-c", script, copy], cwd=files, check=True
    )


def test_a_torchscript_file_keeps_its_operators_and_says_so(files: Path) -> None:
    got = adopt(files / "lacking.pt", "torchscript", IMAGE)
    (note,) = got.notes
    assert note.startswith(
        "`diff`, `new_ones`, `upsample_bicubic2d`, which some converters lack, stays"
    )
    assert "`capture: trace`" in note


def test_a_file_in_training_mode_is_set_to_inference(files: Path) -> None:
    got = adopt(files / "training.pt", "torchscript", IMAGE)
    assert got.error is None
    assert "saved in training mode" in got.notes[0]


def test_an_exported_program_may_be_fixed_at_the_example(files: Path) -> None:
    got = adopt(files / "dynamic.pt2", "exported", IMAGE, dynamic=False)
    assert got.io.inputs[0].shape == [1, 1, 8, 8]
    assert got.io.outputs[0].shape == [1, 3]


@pytest.mark.parametrize(
    ("name", "kind", "ports", "field", "message"),
    [
        (
            "fixed.pt2",
            "exported",
            IMAGE,
            "inputs",
            "`image` is float32[2, 1, 8, 8] in the file, float32[N, 1, 8, 8] in the recipe",
        ),
        (
            "dynamic.pt2",
            "exported",
            [port("image", ["N", 1, 8, 8], "int64")],
            "inputs",
            "float32[?, 1, 8, 8] in the file",
        ),
        (
            "two.pt",
            "torchscript",
            IMAGE,
            "inputs",
            "takes 2 inputs, the recipe declares 1; the file's are a, b",
        ),
        (
            "two.pt",
            "torchscript",
            [port("b", ["N", 1]), port("a", ["N", 1])],
            "inputs",
            "in another order than the file's: a, b",
        ),
        (
            "traced.pt",
            "torchscript",
            [port("image", ["N", 7])],
            "inputs",
            "does not take the declared",
        ),
        (
            "dynamic.pt2",
            "torchscript",
            IMAGE,
            "source.torchscript",
            "is ExportedProgram, not TorchScript",
        ),
        ("weights.pt", "torchscript", IMAGE, "None", "neither TorchScript nor an ExportedProgram"),
        ("model.py", "torchscript", IMAGE, "None", "not a TorchScript or ExportedProgram file"),
    ],
)
def test_a_file_that_is_not_what_the_recipe_says(
    files: Path, name: str, kind: str, ports: list[dict[str, Any]], field: str, message: str
) -> None:
    got = adopt(files / name, kind, ports)
    assert message in got.message
    assert got.field == field
