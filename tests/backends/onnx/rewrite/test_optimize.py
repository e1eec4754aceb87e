"""Transformers with the fused operators of ONNX Runtime."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from buildsys.backends.kit.protocol.contract import Contract, Port
from tests.backends.onnx.rewrite.test_simplify import inspect
from tests.support.harness import Result, interpreter, port, run_worker
from tests.support.models.onnx_models import PORTS, Made

pytestmark = pytest.mark.toolchain

AUTO: dict[str, Any] = {"num_heads": 0, "hidden_size": 0}


@pytest.fixture(scope="module")
def fused(bert: Made) -> Result:
    return bert.step("onnx-optimize", "onnx", "rewrite.optimize:optimize", optimize="bert", **AUTO)


def test_masks_with_holes_mean_what_they_meant(bert: Made, fused: Result) -> None:
    """By default the optimizer takes the number of ones for the length."""
    bert.agrees(fused, "onnx", "onnx")


def test_inputs_and_outputs_stay_and_the_notes_tell(bert: Made, fused: Result) -> None:
    (told,) = inspect(fused.artifact)
    assert {"Attention", "EmbedLayerNormalization", "SkipLayerNormalization"} <= set(
        told["operators"]
    )
    assert told["inputs"] == [[n, "INT64", ["N", "T"]] for n in ("tokens", "mask", "kinds")]
    assert told["outputs"] == [["scores", "FLOAT", ["N", "T", 3]]]
    assert told["domains"] == ["", "com.microsoft"]
    assert fused.io == bert.onnx.io
    (note,) = fused.notes
    assert note.startswith("fused for ONNX Runtime, which alone runs this file: Attention ×1, ")


def test_equal_bytes_in_other_processes(bert: Made, fused: Result) -> None:
    again = bert.step(
        "onnx-optimize",
        "onnx",
        "rewrite.optimize:optimize",
        hash_seed="7",
        threads=1,
        optimize="bert",
        **AUTO,
    )
    assert again.bytes == fused.bytes


def test_a_family_that_does_not_drop_the_mask(bert: Made, fused: Result) -> None:
    """By default `vit` has no mask, and a model with one would lose it."""
    made = bert.step("onnx-optimize", "onnx", "rewrite.optimize:optimize", optimize="vit", **AUTO)
    assert any("Attention ×1" in note for note in made.notes)
    assert made.bytes == fused.bytes


def test_what_the_fused_operators_compute_otherwise_is_an_error(bert: Made) -> None:
    """They ask whether a mask is 0; the model multiplies with it."""
    ports = [{**p, "range": [0, 5]} if p["name"] == "mask" else p for p in PORTS]
    made = bert.step(
        "onnx-optimize", "onnx", "rewrite.optimize:optimize", ports=ports, optimize="bert", **AUTO
    )
    assert "`optimize` changes the values of `scores` by up to" in made.message
    assert made.field == "options.optimize"
    assert made.hint == "leave `optimize` out for this model"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A graph without any of what a transformer has."""
    folder = tmp_path_factory.mktemp("plain")
    script = """
import onnx
from onnx import TensorProto as T, helper
graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "g",
    [helper.make_tensor_value_info("x", T.FLOAT, ["N", 6])],
    [helper.make_tensor_value_info("y", T.FLOAT, ["N", 6])])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "m")
"""
    subprocess.run([interpreter("onnx"), "-c", script], cwd=folder, check=True)
    sizes: list[int | str] = ["N", 6]
    Contract([Port("x", sizes, "float32")], [Port("y", sizes, "float32")]).write(folder / "io")
    return Result({"artifact": folder / "m", "io": folder / "io"}, [], None, "", 0)


def optimized(source: Result, family: str) -> Result:
    return run_worker(
        "onnx-optimize",
        "onnx",
        "rewrite.optimize:optimize",
        inputs=source.outputs,
        options={
            "ports": [port("x", ["N", 6])],
            "outputs": ["y"],
            "scheme": None,
            "format": {"optimize": family, **AUTO},
        },
    )


def test_nothing_to_fuse_is_said(plain: Result) -> None:
    made = optimized(plain, "bert")
    assert made.notes == [
        "nothing was fused: `optimize: bert` knows no part of this graph; "
        "the other `route` may give one that it knows"
    ]


def test_heads_that_cannot_be_told_must_be_said(plain: Result) -> None:
    refused = optimized(plain, "gpt2")
    assert "does not tell how many attention heads" in refused.message
    assert refused.hint == "say `num_heads` and `hidden_size`"
    assert refused.field == "options.num_heads"
