"""Every scheme that TFLite declares, run by LiteRT: right numbers, smaller, what is told, what is refused.

All cases are quantized and run by one process: each takes tenths of a second.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import buildsys
from buildsys.backends.kit.inspect.stored_weights import Weights, load
from buildsys.backends.tflite.rules import backend
from buildsys.quantization import METHOD_NAMES
from buildsys.verify.weights.comparison import judged
from tests.support.harness import Result, interpreter, run_worker

pytestmark = pytest.mark.toolchain

BACKENDS = Path(buildsys.__file__).parent / "backends"
SCRIPT = Path(__file__).with_name("quantize_cases.py")
LEAST: dict[str, Any] = {"calibration": {"method": "min-max"}}


def profile(scheme: str, bits: int = 8, **more: Any) -> dict[str, Any]:
    return {"scheme": scheme, "bits": bits, "per_channel": True, **more}


W4 = profile("weight-only", 4)
DYNAMIC = profile("dynamic")
STATIC = profile("static", **LEAST)


def mixed(default: dict[str, Any] | None, *layers: tuple[str, Any]) -> dict[str, Any]:
    return {"scheme": "mixed", "default": default, "layers": [list(layer) for layer in layers]}


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "w8-affine": ("cnn-direct", profile("weight-only", symmetric=False)),
    "w8-tensor": ("cnn-direct", profile("weight-only", per_channel=False)),
    "w4": ("cnn-direct", W4),
    "w4-affine": ("cnn-direct", profile("weight-only", 4, symmetric=False)),
    "dynamic-tensor": ("cnn-direct", profile("dynamic", per_channel=False)),
    "dynamic-4": ("cnn-direct", profile("dynamic", 4)),
    "blocks": ("cnn-direct", profile("dynamic", 4, block_size=32)),
    "static-tensor": ("cnn-direct", profile("static", per_channel=False, **LEAST)),
    "static-symmetric": ("cnn-direct", profile("static", symmetric=True, **LEAST)),
    "static-16": ("cnn-direct", profile("static", activations="int16", **LEAST)),
    "static-4": ("cnn-direct", profile("static", 4, **LEAST)),
    "static-4-16": ("cnn-direct", profile("static", 4, activations="int16", **LEAST)),
    **{m: ("cnn-direct", profile("static", calibration={"method": m})) for m in METHOD_NAMES},
    "percentile-90": (
        "cnn-direct",
        profile("static", calibration={"method": "percentile", "percentile": 90.0}),
    ),
    "masked": ("masked-direct", STATIC),
    "bordered": ("masked-direct", STATIC | {"keep_float": ["type:BATCH_MATMUL"]}),
    "grown": ("cnn-direct", mixed(None, ("type:DEPTHWISE_CONV_2D", STATIC))),
    "text-4": ("text-direct", profile("dynamic", 4)),
    "mixed-static-w4": ("cnn-direct", mixed(STATIC, ("type:FULLY_CONNECTED", W4))),
    "mixed-widths": (
        "cnn-onnx",
        mixed(STATIC, ("type:FULLY_CONNECTED", profile("static", activations="int16", **LEAST))),
    ),
    "mixed-float": ("cnn-direct", mixed(DYNAMIC, ("type:*CONV*", None))),
    "mixed-half": ("cnn-direct", mixed({"scheme": "float16"}, ("type:CONV_2D", DYNAMIC))),
}
WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "affine-16": ("cnn-direct", profile("static", activations="int16", symmetric=False, **LEAST)),
    "block-48": ("cnn-direct", profile("dynamic", 4, block_size=48)),
    "block-8-bits": ("cnn-direct", profile("dynamic", 8, block_size=32)),
    "no-blocks": ("text-direct", profile("dynamic", 4, block_size=32)),
    "no-such-type": ("cnn-direct", mixed(W4, ("type:CONV_3D", None))),
    "all-float": ("cnn-direct", mixed(None, ("type:RESHAPE", DYNAMIC))),
}
AGAIN = ("static-4-16", "blocks", "mixed-static-w4", "entropy")


@dataclass(frozen=True)
class Made:
    folder: Path
    told: dict[str, dict[str, Any]]

    def weights(self, case: str) -> Weights:
        return load(self.folder / f"{case}.weights.npz", self.folder / f"{case}.names.json")


def make(
    folder: Path, zoo: Path, floats: dict[str, Result], cases: dict[str, Any], seed: str = "0"
) -> Made:
    for name, result in floats.items():
        shutil.copy(result.artifact, folder / f"{name}.tflite")
        shutil.copy(result.outputs["io"], folder / f"{name}.io.json")
    target = folder / "made"
    target.mkdir()
    listed = folder / "cases.json"
    listed.write_text(json.dumps(cases))
    done = subprocess.run(
        [interpreter("tflite"), "-s", "-P", SCRIPT, BACKENDS, zoo, folder, target, listed],
        env={
            "PATH": os.defpath,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONHASHSEED": seed,
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Made(target, json.loads((target / "told.json").read_text()))


@pytest.fixture(scope="module")
def made(zoo: Path, floats: dict[str, Result], tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("schemes"), zoo, floats, CASES | WRONG)


def test_all_that_is_declared_is_tried() -> None:
    (declared,) = backend.formats
    schemes = {scheme.name: scheme for scheme in declared.schemes}
    tried = [given for _, given in CASES.values()]
    for name, key in (("static", "activations"), ("static", "bits"), ("dynamic", "bits")):
        found = {given.get(key, 8) for given in tried if given["scheme"] == name}
        assert found >= set(getattr(schemes[name], key)) - {"int8"}, (name, key)
    assert set(schemes["static"].methods) == set(METHOD_NAMES)
    mixes = {
        each["scheme"]
        for given in tried
        if given["scheme"] == "mixed"
        for each in (given["default"], *(layer[1] for layer in given["layers"]))
        if each is not None
    }
    assert mixes == set(schemes["mixed"].mixes)


@pytest.mark.parametrize(
    ("case", "limit", "ratio"),
    [
        ("w8-affine", 0.03, 0.40),
        ("w8-tensor", 0.03, 0.40),
        ("w4", 0.4, 0.30),
        ("w4-affine", 0.4, 0.30),
        ("dynamic-tensor", 0.03, 0.38),
        ("dynamic-4", 0.4, 0.30),
        ("blocks", 0.45, 0.30),
        ("static-tensor", 0.06, 0.40),
        ("static-symmetric", 0.06, 0.45),
        ("static-16", 0.03, 0.45),
        ("static-4", 0.4, 0.35),
        ("static-4-16", 0.4, 0.35),
        ("mixed-static-w4", 0.3, 0.42),
        ("mixed-widths", 0.06, 0.46),
        ("mixed-float", 0.03, 0.90),
        ("mixed-half", 0.03, 0.50),
        ("masked", 0.05, 0.90),
        # An output of floats, `states`, is read by an operator of integers.
        ("bordered", 0.05, 0.90),
        ("text-4", 0.15, 0.65),
    ],
)
def test_what_litert_gives_and_how_large_it_is(
    made: Made, case: str, limit: float, ratio: float
) -> None:
    told = made.told[case]
    assert told["error"] is None
    assert told["signal_error"] < limit
    assert told["bytes"] < ratio * told["of"]


def test_widths_are_what_was_asked_for(made: Made) -> None:
    # 144 weights are of the depthwise convolution that the direct route makes of the first.
    assert made.told["w4"]["weights"] == {"INT4": 5888, "INT8": 144, "FLOAT32": 58}
    note = "DEPTHWISE_CONV_2D has 8 bits: LiteRT has no kernel of it with 4 (1 of them)"
    for case in ("w4", "dynamic-4", "static-4"):
        assert note in made.told[case]["notes"]
    assert "INT16" in made.told["static-16"]["tensors"]
    assert "INT16" not in made.told["static-4"]["tensors"]
    widths = made.told["mixed-widths"]["tensors"]
    assert widths["INT16"] == 1 or widths["INT16"] == 2
    assert made.told["mixed-static-w4"]["weights"]["INT4"] == 1280
    assert made.told["mixed-half"]["weights"]["INT8"] == 4608
    assert made.told["mixed-float"]["weights"]["INT8"] == 1280


def test_integers_with_one_scale_stay_out_of_dynamic_depthwise_convolutions(made: Made) -> None:
    (note, _) = made.told["dynamic-tensor"]["notes"]
    assert note == (
        "DEPTHWISE_CONV_2D computes in float32: LiteRT needs scales of channels to compute in "
        "integers (1 of them)"
    )


def test_what_has_no_blocks_is_said(made: Made) -> None:
    assert (
        "CONV_2D has no blocks of 32: LiteRT has no blocks of it (1 of them)"
        in (made.told["blocks"]["notes"])
    )


def test_methods_of_calibration(made: Made) -> None:
    ranges = {m: made.told[m]["ranges"] for m in METHOD_NAMES}
    for method, found in ranges.items():
        assert found["method"] == method
        assert found["runs"] == 16
        assert found["tried"] is None
    widest = {t["name"]: t["ranges"][0] for t in ranges["min-max"]["tensors"]}
    narrow = {t["name"]: t["ranges"][0] for t in made.told["percentile-90"]["ranges"]["tensors"]}
    assert set(widest) == set(narrow)
    for name, (low, high) in narrow.items():
        assert widest[name][0] <= low <= high <= widest[name][1]
    (image,) = (name for name in widest if "image" in name)
    # Of a normal distribution, 90 % are within 1.64 standard deviations.
    assert narrow[image] == pytest.approx([-1.64, 1.64], abs=0.1)
    assert widest[image][1] > 2.5
    assert made.told["percentile-90"]["digest"] != made.told["percentile"]["digest"]


def test_a_file_that_grew_is_told_of(made: Made) -> None:
    # 144 weights of 16 channels: their scales weigh more than the integers save.
    assert made.told["grown"]["bytes"] > made.told["grown"]["of"]
    assert any("did not become smaller" in note for note in made.told["grown"]["notes"])
    assert not any("did not become smaller" in note for note in made.told["static-16"]["notes"])


def test_masks_stay_floats(made: Made) -> None:
    assert any(
        note.startswith("3 operators stay in float: there is a mask")
        for note in made.told["masked"]["notes"]
    )
    # The table of words as well is integers.
    assert made.told["masked"]["weights"]["INT8"] > 1600


@pytest.mark.parametrize(
    ("case", "field", "words"),
    [
        ("affine-16", "symmetric", "int16 activations whose range is not symmetric"),
        ("block-48", "block_size", "32, 64, 128, 256"),
        ("block-8-bits", "block_size", "blocks of weights with 8 bits"),
        ("no-blocks", "block_size", "rows have 16 weights"),
        ("no-such-type", "layers", "`type:CONV_2D`"),
        ("all-float", None, "nothing was quantized"),
    ],
)
def test_what_is_refused(made: Made, case: str, field: str | None, words: str) -> None:
    message, hint, at = made.told[case]["error"]
    assert words in f"{message} {hint}"
    assert at == ("quantization" if field is None else f"quantization.{field}")


def test_weights_are_explained(made: Made, zoo: Path) -> None:
    files = {"weights": "weights.npz", "names": "names.json"}
    own = run_worker(
        "torch",
        "torch",
        "original.state:weights",
        inputs={"source": zoo / "cnn.pt2"},
        outputs=files,
        options={"source": {}, "ports": [], "outputs": []},
    )
    original = load(own._output("weights"), own._output("names"))
    for case in ("w4-affine", "blocks", "static-4", "static-16", "mixed-static-w4", "mixed-half"):
        found = judged(made.weights(case), original)
        assert (found["altered"], found["missing"], found["unexplained"]) == ([], [], []), case
        assert found["quantized"] + found["rounded"] >= 2
    # Scales of blocks are in their places: not one weight is further off than rounding takes it.
    (head,) = (t for t in made.weights("blocks").tensors if t.values.shape == (10, 128))
    (exact,) = (t.values for t in original.tensors if t.name == "head.weight")
    assert head.scale is not None
    assert np.abs(exact / head.scale.astype(float) - head.values).max() < 0.501


def test_equal_bytes_in_another_process_and_hash_seed(
    made: Made, zoo: Path, floats: dict[str, Result], tmp_path: Path
) -> None:
    again = make(tmp_path, zoo, floats, {case: CASES[case] for case in AGAIN}, seed="9")
    for case in AGAIN:
        assert again.told[case]["digest"] == made.told[case]["digest"], case
