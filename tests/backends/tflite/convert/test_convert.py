"""Both routes to TFLite by the real converters: values, names, layouts, types, bytes, errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.backends.tflite.steps import convert, errors, run, samples
from tests.profile import by_day
from tests.support.harness import Result
from tests.support.scripts import digest, script

pytestmark = pytest.mark.toolchain

ROUTES = ("direct", "onnx")
both = pytest.mark.parametrize("route", ROUTES)


@both
@pytest.mark.parametrize("model", by_day(["cnn", "lstm", "segment", "text"]))
def test_outputs_are_the_models(zoo: Path, tmp_path: Path, model: str, route: str) -> None:
    done = convert(zoo, model, route)
    assert max(errors(zoo, model, done, tmp_path).values()) < 5e-5
    assert [p.artifact_name for p in (*done.io.inputs, *done.io.outputs)] == [None] * (
        len(done.io.inputs) + len(done.io.outputs)
    )
    assert "size N is fixed at 1 in the TFLite file" in done.notes
    # Inputs keep their layout in both routes.
    assert all(port.permutation is None for port in done.io.inputs)
    if model == "text":
        _, expected = samples(zoo, model)
        assert (run(zoo, model, done, tmp_path)["label"] == expected["label"]).all()


def test_a_run_without_xnnpack(zoo: Path, tmp_path: Path) -> None:
    done = convert(zoo, "cnn", "direct")
    found = run(zoo, "cnn", done, tmp_path)
    (plain,) = np.load(tmp_path / "plain.npz").values()
    assert np.abs(plain[0] - found["logits"][0]).max() < 1e-5
    usual, without = json.loads((tmp_path / "kinds.json").read_text())
    assert "DELEGATE" in usual
    assert "DELEGATE" not in without
    assert "CONV_2D" in without


def test_direct_keeps_layouts(zoo: Path) -> None:
    done = convert(zoo, "segment", "direct")
    mask, edges = done.io.outputs
    assert (mask.name, mask.shape, mask.permutation) == ("mask", [1, 2, 12, 20], None)
    assert (edges.name, edges.shape) == ("edges", [1, 4])
    assert not any("layout" in note for note in done.notes)


def test_onnx_declares_what_it_does_to_a_layout(zoo: Path, tmp_path: Path) -> None:
    done = convert(zoo, "segment", "onnx")
    mask, edges = done.io.outputs
    assert (mask.shape, mask.permutation, mask.layout) == ([1, 12, 20, 2], [0, 2, 3, 1], "NHWC")
    assert (edges.shape, edges.permutation) == ([1, 4], None)
    assert any("`mask`" in note and "NHWC" in note for note in done.notes)
    # Undone when it is run: shapes are the model's.
    assert run(zoo, "segment", done, tmp_path)["mask"].shape == (16, 2, 12, 20)


def test_direct_rewrites_what_the_converter_does_not_take(zoo: Path, tmp_path: Path) -> None:
    done = convert(zoo, "uneven", "direct")
    shapes = [[1, 3, 8, 13], [1, 3, 10], [1, 4, 4], [1, 4, 5]]
    assert [p.shape for p in done.io.outputs] == shapes
    assert max(errors(zoo, "uneven", done, tmp_path).values()) < 5e-5
    # Some rows attend to nothing: PyTorch gives zeros there, and the file gave NaN.
    _, expected = samples(zoo, "uneven")
    assert (expected["attended"] == 0).all(axis=-1).any()


def test_direct_declares_narrower_integers(zoo: Path) -> None:
    done = convert(zoo, "text", "direct")
    assert [p.dtype for p in done.io.inputs] == ["int32", "float32"]
    assert "input `ids` is int32 in the TFLite file, int64 in the model" in done.notes


@both
def test_equal_inputs_give_equal_bytes(zoo: Path, tmp_path: Path, route: str) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(zoo, moved)
    first = convert(zoo, "lstm", route)
    second = convert(moved, "lstm", route, hash_seed="7")
    assert digest(first.artifact) == digest(second.artifact)
    assert digest(first.outputs["io"]) == digest(second.outputs["io"])
    # Nothing of the machine is inside.
    assert str(tmp_path).encode() not in first.artifact.read_bytes()


@both
def test_names_that_converters_rewrite_are_declared(zoo: Path, tmp_path: Path, route: str) -> None:
    told = json.loads((zoo / "cnn.options.json").read_text())
    told["ports"][0]["name"] = "image.0"
    told["outputs"] = ["class/logits"]
    renamed = tmp_path / "zoo"
    shutil.copytree(zoo, renamed)
    contract = json.loads((zoo / "cnn.io.json").read_text())
    contract["inputs"][0] |= {"name": "image.0", "artifact_name": "image"}
    contract["outputs"][0] |= {"name": "class/logits", "artifact_name": "logits"}
    (renamed / "cnn.io.json").write_text(json.dumps(contract))
    done = convert(renamed, "cnn", route, **told)
    assert done.io.inputs[0].artifact_name == "image_0"
    assert done.io.outputs[0].artifact_name == "class_logits"
    assert any("image_0" in note for note in done.notes)


def refused(done: Result, *words: str) -> None:
    for word in words:
        assert word in done.message, done.error
    assert not done.outputs["artifact"].exists()


def test_direct_names_what_it_lacks_and_the_other_route(zoo: Path) -> None:
    done = convert(zoo, "unsupported", "direct")
    refused(done, "special_bessel_j0")
    assert "route: onnx" in done.hint


def test_onnx_names_what_it_lacks_and_the_other_route(zoo: Path, tmp_path: Path) -> None:
    script("tflite-onnx", Path(__file__).with_name("make_unsupported.py"), str(tmp_path))
    shutil.copy(zoo / "unsupported.io.json", tmp_path)
    shutil.copy(zoo / "unsupported.options.json", tmp_path)
    done = convert(tmp_path, "unsupported", "onnx")
    refused(done, "CastLike")
    assert "route: direct" in done.hint


def test_onnx_runs_again_in_the_folder_of_an_earlier_run(zoo: Path) -> None:
    again = convert(zoo, "cnn", "onnx", left_behind="onnx2tf/out")
    assert again.bytes == convert(zoo, "cnn", "onnx").bytes


def test_the_onnx_input_is_left_as_it_was(zoo: Path) -> None:
    before = digest(zoo / "cnn.onnx")
    convert(zoo, "cnn", "onnx")
    assert digest(zoo / "cnn.onnx") == before


def test_a_model_with_other_outputs_is_refused(zoo: Path) -> None:
    done = convert(zoo, "segment", "direct", outputs=["mask"])
    refused(done, "names 1 outputs, the model has 2")
