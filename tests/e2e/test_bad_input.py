"""Bad input to the real line: each a clear error, the documented status, nothing half-written."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.here import Here
from tests.e2e.project import Project
from tests.profile import some

Break = Callable[[Project], object]


@pytest.fixture
def raw(tmp_path: Path) -> Project:
    """A copy of `digits` that was never built."""
    return Project.copy_of("digits", tmp_path)


@pytest.fixture
def here(raw: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The same, where no step is reached."""
    return Here(raw, monkeypatch, capsys)


def edit(before: str, after: str) -> Break:
    return lambda project: project.edit("deploy.yaml", before, after)


RECIPE_ERRORS: dict[str, tuple[Break, tuple[str, ...]]] = {
    "an unknown key": (
        edit("quantization: dyn", "quantisation: dyn"),
        ("unknown key `quantisation`", "did you mean `quantization`?", "^^^^"),
    ),
    "a syntax error": (edit("project: digits", "project: [digits"), ("--> deploy.yaml:",)),
    "a missing checkpoint": (
        edit("weights.safetensors", "wieghts.safetensors"),
        ("wieghts.safetensors", "weights.safetensors", "--> deploy.yaml:"),
    ),
    "an unknown format": (
        edit("{format: onnx, accept: close}", "{format: onxx, accept: close}"),
        ("unknown format `onxx`", "did you mean `onnx`?"),
    ),
    "an unknown scheme": (
        edit("{scheme: dynamic}", "{scheme: dinamic}"),
        ("dynamic", "--> deploy.yaml:"),
    ),
    "an unknown target": (
        edit("  edge:", "  toaster:"),
        ("toaster", "android", "--> deploy.yaml:"),
    ),
    "a scheme that a format cannot take": (
        edit("quantization: fp16", "quantization: dyn"),
        (
            "coreml cannot take the scheme `dynamic`",
            "coreml takes float16, mixed, static, weight-only",
        ),
    ),
    "activations as integers for an iOS that has none": (
        lambda p: (
            edit("quantization: fp16", "quantization: int8")(p),
            edit("minimum_deployment_target: iOS16, ", "")(p),
        ),
        (
            "coreml cannot take `int8`: activations as integers need iOS17 or later, and "
            "`minimum_deployment_target` is iOS16",
            "hint: set `options: {minimum_deployment_target: iOS17}`",
            "--> deploy.yaml:50:21",
        ),
    ),
    "a mixture for an iOS that is too old": (
        lambda p: (
            edit("{scheme: float16}", "{scheme: mixed, default: int8, layers: {head: float}}")(p),
            edit("accept: half", "accept: quantized")(p),
        ),
        (
            "coreml cannot take `int8`: activations as integers need iOS17 or later",
            "--> deploy.yaml:52:44",
        ),
    ),
    "4 bits for an iOS that is too old": (
        edit("{scheme: float16}", "{scheme: weight-only, bits: 4}"),
        ("coreml cannot take `fp16`: 4 bits need iOS18 or later", "--> deploy.yaml:52:44"),
    ),
    "blocks for an iOS that is too old": (
        edit("{scheme: float16}", "{scheme: weight-only, block_size: 32}"),
        ("coreml cannot take `fp16`: `block_size` needs iOS18 or later", "--> deploy.yaml:52:44"),
    ),
    "an input of float16 for an iOS that is too old": (
        lambda p: (
            edit("dtype: float32", "dtype: float16")(p),
            edit("minimum_deployment_target: iOS16", "minimum_deployment_target: iOS15")(p),
        ),
        ("input `image` is float16, which needs iOS16 or later", "--> deploy.yaml:52:44"),
    ),
    "an unknown option": (
        edit("compute_units: all", "compute_unit: all"),
        ("coreml has no option `compute_unit`", "did you mean `compute_units`?"),
    ),
    "a wrong value of an option": (
        edit("compute_units: all", "compute_units: gpu"),
        ("compute_units", "--> deploy.yaml:"),
    ),
    "an opset out of range": (
        edit(
            "{format: onnx, accept: close}", "{format: onnx, accept: close, options: {opset: 99}}"
        ),
        (
            "onnx option `opset`: input should be less than or equal to 24",
            "--> deploy.yaml:53:54",
        ),
    ),
    "a dynamic size where none varies": (
        lambda p: (
            edit("max: 64", "max: 1")(p),
            edit("compute_units: all", "compute_units: all, flexible: true")(p),
        ),
        (
            "coreml of `classifier`: `flexible` keeps no size open, since none varies",
            "hint: delete it, or declare a symbol in a shape and its `dims`",
            "--> deploy.yaml:52:81",
        ),
    ),
    "a route that there is not": (
        edit(
            "{format: tflite, accept: close, route: onnx}",
            "{format: tflite, accept: close, route: onxx}",
        ),
        ("tflite has no route `onxx`", "did you mean `onnx`?"),
    ),
}


@pytest.mark.parametrize("name", some(RECIPE_ERRORS))
def test_a_wrong_recipe(here: Here, name: str) -> None:
    harm, texts = RECIPE_ERRORS[name]
    harm(here)
    result = here.run("build")
    assert result.code == 2, result.stdout + result.stderr
    for text in texts:
        assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not (here.folder / "artifacts").exists()
    assert not here.store.exists()


def test_all_errors_at_once(here: Here) -> None:
    here.edit("deploy.yaml", "quantization: dyn", "quantisation: dyn")
    here.edit("deploy.yaml", "  edge:", "  toaster:")
    assert "2 errors in the recipe" in here.run("plan").stderr


def test_an_unknown_selector(here: Here) -> None:
    result = here.run("build", "andriod")
    assert result.code == 4
    assert result.stderr == (
        "error: no deployable matches `andriod`\nhint: did you mean `android`?\n"
    )


def test_no_recipe(tmp_path: Path) -> None:
    project = Project(tmp_path, tmp_path / "store")
    result = project.run("plan")
    assert result.code == 2
    assert "deploy.yaml" in result.stderr


def test_wrong_usage(here: Here) -> None:
    assert here.run("build", "--jobs", "0").code == 2
    assert here.run("frobnicate").code == 2


def write_safetensors(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes float32 tensors without the library."""
    header, body = {}, b""
    for name, array in arrays.items():
        data = array.astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def read_safetensors(path: Path) -> dict[str, tuple[str, list[int], bytes]]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return {
        name: (entry["dtype"], entry["shape"], data[8 + length :][slice(*entry["data_offsets"])])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def reshaped(project: Project) -> None:
    """Cuts a row off one matrix of the checkpoint."""
    path = project.folder / "weights.safetensors"
    tensors = read_safetensors(path)
    name = next(n for n, (_, shape, _) in tensors.items() if len(shape) == 2)
    dtype, shape, data = tensors[name]
    tensors[name] = (dtype, [shape[0] - 1, shape[1]], data[: -4 * shape[1]])
    header, body = {}, b""
    for key, (kind, sizes, raw) in tensors.items():
        header[key] = {
            "dtype": kind,
            "shape": sizes,
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def pickled(project: Project) -> None:
    """A checkpoint that runs code when it is loaded, as pickles can."""
    evil = b"cposix\nsystem\n(S'touch " + str(project.folder / "owned").encode() + b"'\ntR."
    (project.folder / "weights.pt").write_bytes(evil)
    project.edit("deploy.yaml", "weights.safetensors", "weights.pt")


def calibration_of_a_wrong_shape(project: Project) -> None:
    np.savez(
        project.folder / "data" / "train.npz",
        x=np.zeros((200, 1, 8, 9), np.float32),
        y=np.zeros(200),
    )


STEP_ERRORS: dict[str, tuple[Break, str, tuple[str, ...]]] = {
    "a factory whose module does not import": (
        lambda p: (p.folder / "model.py").write_text("import nonexistent_thing\n"),
        "ios/classifier.onnx",
        ("nonexistent_thing", "model.py:1"),
    ),
    "a factory that is not there": (
        edit("model:build", "model:bild"),
        "ios/classifier.onnx",
        ("bild",),
    ),
    "a factory that gives no module": (
        lambda p: (p.folder / "model.py").write_text("def build(width):\n    return 3\n"),
        "ios/classifier.onnx",
        ("int", "nn.Module"),
    ),
    "a factory that raises": (
        lambda p: (p.folder / "model.py").write_text(
            "def build(width):\n    raise RuntimeError('out of cheese')\n"
        ),
        "ios/classifier.onnx",
        ("out of cheese", "model.py:2"),
    ),
    "a checkpoint whose shapes do not fit": (
        reshaped,
        "ios/classifier.onnx",
        ("`head.weight` is [9, 256] in the checkpoint, [10, 256] in the model", "--> deploy.yaml:"),
    ),
    "inputs that do not fit the model": (
        edit("shape: [N, 1, 8, 8]", "shape: [N, 2, 8, 8]"),
        "ios/classifier.onnx",
        ("image",),
    ),
    "a pickle that would run code": (
        pickled,
        "ios/classifier.onnx",
        ("safetensors",),
    ),
    "calibration data of a wrong shape": (
        calibration_of_a_wrong_shape,
        "edge/classifier.tflite-int8",
        ("[1, 8, 9]", "image"),
    ),
}


@pytest.mark.toolchain
@pytest.mark.parametrize("name", STEP_ERRORS)
def test_a_step_that_cannot_be_done(raw: Project, name: str) -> None:
    harm, label, texts = STEP_ERRORS[name]
    harm(raw)
    result = raw.run("build", label)
    output = result.stdout + result.stderr
    assert result.code == 1, output
    for text in texts:
        assert text in output, output
    assert "1 deployable: 1 failed" in output
    assert "--> deploy.yaml:" in output
    assert not (raw.folder / "owned").exists()
    left = [p for p in (raw.folder / "artifacts").rglob("*") if p.is_file()]
    assert [p.name for p in left if not p.name.startswith(".")] == ["report.json"]


@pytest.mark.toolchain
def test_an_unreachable_package_index_names_the_toolchain(raw: Project, tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9/simple"
    result = raw.run(
        "build",
        "ios/classifier.onnx",
        environment={
            "MODELBUILD_TOOLCHAINS": str(tmp_path / "toolchains"),
            "UV_CACHE_DIR": str(tmp_path / "uv"),
            "PIP_INDEX_URL": nowhere,
            "PIP_FIND_LINKS": "",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_RETRIES": "0",
        },
    )
    assert result.code == 5, result.stdout + result.stderr
    assert "toolchain torch" in result.stderr
    assert not (raw.folder / "artifacts" / "ios").exists()
    shutil.rmtree(tmp_path / "toolchains")


def test_a_store_that_cannot_be_made_is_an_environment_error(here: Here) -> None:
    here.store.write_text("a file where the store should be")
    result = here.run("plan")
    assert result.code == 5, result.stderr
    assert "cannot open" in result.stderr
    assert "MODELBUILD_CACHE" in result.stderr
