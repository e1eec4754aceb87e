"""Capture by trace, script and export, each in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Result, factory, port, run_worker
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

IMAGE = [port("image", ["N", 1, 8, 8])]
ROW = [port("x", ["N", 6])]
TOKENS = [
    port("tokens", ["N", "T"], "int64", span=[0, 7], T=(2, 12, 5)),
    port("mask", ["N", "T"], T=(2, 12, 5)),
]
METHODS = ("trace", "script", "export")


def capture(
    project: Path,
    ports: list[dict[str, Any]],
    outputs: list[str],
    method: str = "trace",
    hash_seed: str = "0",
    **options: Any,
) -> Result:
    worker = "worker:export" if method == "export" else "worker:capture"
    described = factory(ports, outputs, method=method, **options)
    return run_worker(
        "torch", "torch", worker, options=described, project=project, hash_seed=hash_seed
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_comment_a_folder_and_a_hash_seed_leave_the_bytes_alone(
    tmp_path: Path, method: str
) -> None:
    one = capture(zoo.write(tmp_path / "one"), IMAGE, ["logits"], method)
    moved = zoo.write(tmp_path / "elsewhere" / "two", top="# a comment\n\n\nimport math\n")
    # The compiler of scripts walks sets of names: it needs the seed that every worker is given.
    seed = "0" if method == "script" else "7"
    two = capture(moved, IMAGE, ["logits"], method, hash_seed=seed)
    assert one.bytes == two.bytes
    assert str(tmp_path).encode() not in one.bytes
    assert b"model.py" not in one.bytes.replace(b"code/__torch__/model.py", b"")
    assert one.io == two.io


@pytest.mark.parametrize("method", METHODS)
def test_sizes_are_kept_by_name(tmp_path: Path, method: str) -> None:
    got = capture(zoo.write(tmp_path, "attention"), TOKENS, ["y"], method)
    assert [p.shape for p in got.io.inputs] == [["N", "T"], ["N", "T"]]
    assert [(p.name, p.shape, p.dtype) for p in got.io.outputs] == [("y", ["N", "T", 8], "float32")]
    assert got.notes == []


def test_an_export_may_fix_its_sizes_at_the_example(tmp_path: Path) -> None:
    ports = [port("x", ["N", 90, 9], N=(1, 8, 1))]
    got = capture(zoo.write(tmp_path, "lstm"), ports, ["y"], "export", dynamic=False)
    assert got.io.inputs[0].shape == [1, 90, 9]
    assert got.io.outputs[0].shape == [1, 4]


@pytest.mark.parametrize("method", METHODS)
def test_a_dict_is_taken_by_its_names(tmp_path: Path, method: str) -> None:
    got = capture(zoo.write(tmp_path, "dict"), ROW, ["boxes", "scores"], method)
    assert [(p.name, p.shape) for p in got.io.outputs] == [
        ("boxes", ["N", 2, 3]),
        ("scores", ["N", 3]),
    ]


def test_nested_outputs_are_flattened_in_order(tmp_path: Path) -> None:
    got = capture(zoo.write(tmp_path, "nested"), ROW, ["a", "b", "c"])
    assert [(p.shape, p.dtype) for p in got.io.outputs] == [
        (["N", 3], "float32"),
        (["N", 3], "float32"),
        (["N"], "int64"),
    ]
    assert got.notes == [
        "of what the model returns, `a` is `[0].first`, `b` is `[0].second`, `c` is `[1][0]`"
    ]


def test_nested_names_that_contradict_the_recipe(tmp_path: Path) -> None:
    got = capture(zoo.write(tmp_path, "nested"), ROW, ["second", "first", "c"])
    assert got.field == "outputs"
    assert "the recipe's outputs second, first, c do not go with the model's" in got.message


def test_a_wrong_number_of_outputs_lists_what_there_is(tmp_path: Path) -> None:
    got = capture(zoo.write(tmp_path, "nested"), ROW, ["a"])
    assert got.field == "outputs"
    assert "returns 3 tensors, the recipe names 1" in got.message
    assert "`out[0].first` [2, 3]" in got.message


def test_control_flow_baked_in_by_a_trace_is_found(tmp_path: Path) -> None:
    got = capture(zoo.write(tmp_path, "branch"), ROW, ["y"])
    assert got.field == "capture"
    assert "baked in by tracing" in got.message
    assert "model.py:11: Converting a tensor to a Python boolean" in got.message
    assert "capture: script" in got.hint


def test_control_flow_is_kept_by_a_script_and_refused_by_an_export(tmp_path: Path) -> None:
    project = zoo.write(tmp_path, "branch")
    assert capture(project, ROW, ["y"], "script").error is None
    refused = capture(project, ROW, ["y"], "export")
    assert refused.field == "capture"
    assert "cannot be exported (model.py:11)" in refused.message
    # What needs an exported program is not helped by a script, which may have been asked for.
    assert "capture: script" not in refused.hint


SIZE_BAKED_IN = """
class Net(nn.Module):
    def forward(self, x):
        return x.reshape(int(x.shape[0]) * 2, -1)[:2] + x[:, :3].sum()
def build():
    return Net()
"""


def test_a_size_baked_in_by_a_trace_is_found(tmp_path: Path) -> None:
    text = SIZE_BAKED_IN.replace("x.shape[0]", "torch.tensor(x.shape[0]).item()")
    text = text.replace("[:2] + x[:, :3].sum()", "")
    got = capture(zoo.write(tmp_path, text=text), ROW, ["y"])
    assert got.field == "capture"
    assert "baked in by tracing" in got.message
    assert "N=3" in got.message


BRANCH_ON_SIZE = """
class Net(nn.Module):
    def forward(self, x):
        if x.shape[0] > 3:
            return x * 2
        return x
def build():
    return Net()
"""


def test_a_branch_on_a_size_far_from_the_captured_one_is_found(tmp_path: Path) -> None:
    project = zoo.write(tmp_path, text=BRANCH_ON_SIZE)
    got = capture(project, ROW, ["y"])
    assert got.field == "capture"
    assert "baked in by tracing: the traced graph at N=16 gives something else" in got.message
    assert capture(project, ROW, ["y"], "script").error is None


def test_a_size_too_large_to_be_compared_is_said(tmp_path: Path) -> None:
    text = BRANCH_ON_SIZE.replace("> 3", "> 10000")
    ports = [port("x", ["N", 6], N=(1, 100000, 1))]
    got = capture(zoo.write(tmp_path, text=text), ports, ["y"])
    assert got.error is None
    assert got.notes[0].startswith("`N` may be up to 100000: ")
    assert got.notes[0].endswith("at sizes up to 4096")


def test_a_tensor_made_in_forward_leaves_nothing_that_a_loaded_file_refuses(tmp_path: Path) -> None:
    text = """
class Net(nn.Module):
    def forward(self, x):
        return x * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), torch.tensor([7.0])
def build():
    return Net()
"""
    # The second output is the constant itself: it must keep its name in the signature.
    ports = [port("x", ["N", 6])]
    made = capture(zoo.write(tmp_path, text=text), ports, ["y", "z"], "export", dynamic=False)
    assert b"detach_" not in made.bytes
    done = run_worker(
        "tflite-direct",
        "tflite",
        "convert.direct:convert",
        inputs={"artifact": made.artifact, "io": made.outputs["io"]},
        outputs={"artifact": "model.tflite", "io": "io.json"},
        options={
            "ports": ports,
            "outputs": ["y", "z"],
            "format": {},
            "scheme": None,
            "metadata": {"project": "p", "model": "m", "version": "1"},
        },
    )
    assert [p.shape for p in done.io.outputs] == [[1, 6], [1]]


def test_a_size_that_the_model_does_not_take(tmp_path: Path) -> None:
    text = """
class Net(nn.Module):
    def forward(self, x):
        return x.reshape(2, 6) * 2
def build():
    return Net()
"""
    got = capture(zoo.write(tmp_path, text=text), ROW, ["y"])
    assert got.field == "inputs"
    assert "takes 2 for `N`, and no other size" in got.message


@pytest.mark.parametrize(
    ("forward", "field", "message"),
    [
        ("F.dropout(x, 0.5)", "source.factory", "random at inference"),
        ("x @ torch.ones(7, 3)", "inputs", "inputs do not fit the model: RuntimeError: mat1"),
        ("undefined(x)", "source.factory", "`forward` raised NameError: name 'undefined'"),
        (
            "torch.special.no_such(x)",
            "source.factory",
            "`forward` raised AttributeError: module 'torch.special' has no attribute",
        ),
        ("self.boom(x)", "source.factory", "`forward` raised ValueError: boom (model.py:7)"),
        ("F.embedding(x.abs().long() + 9, torch.ones(3, 2))", "inputs", "index out of range"),
        ("nn.BatchNorm1d(6).eval()(x[0])", "inputs", "ValueError: expected 2D or 3D input"),
        ("3", "outputs", "returns no tensor: what it returns is of type `int`"),
    ],
)
def test_what_a_forward_may_not_do(tmp_path: Path, forward: str, field: str, message: str) -> None:
    text = f"""
class Net(nn.Module):
    def boom(self, x):
        raise ValueError("boom")
    def forward(self, x):
        return {forward}
def build():
    return Net()
"""
    got = capture(zoo.write(tmp_path, text=text), ROW, ["y"])
    assert got.field == field
    assert message in got.message


def test_a_part_that_stays_in_training_mode_is_named(tmp_path: Path) -> None:
    text = """
class Stubborn(nn.Dropout):
    def train(self, mode=True):
        return super().train(True)
def build():
    return nn.Sequential(nn.Linear(6, 3), Stubborn())
"""
    got = capture(zoo.write(tmp_path, text=text), ROW, ["y"])
    assert got.field == "source.factory"
    assert "`1` stays in training mode" in got.message


def test_a_batch_norm_without_statistics_is_said(tmp_path: Path) -> None:
    text = """
def build():
    return nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3, track_running_stats=False))
"""
    got = capture(zoo.write(tmp_path, text=text), [port("x", ["N", 6], N=(2, 8, 2))], ["y"])
    assert got.error is None
    assert "`1` has no running statistics" in got.notes[0]
