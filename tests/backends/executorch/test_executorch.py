"""ExecuTorch by its real compiler and runtime: values, order, sizes, what is left over, bytes, errors.

All cases are converted and run by two processes, since each takes ten seconds to import ExecuTorch.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import buildsys
from tests.support.harness import interpreter

pytestmark = pytest.mark.toolchain

BACKENDS = Path(buildsys.__file__).parent / "backends"
SCRIPT = Path(__file__).with_name("convert_cases.py")
CASES = (
    "cnn-xnnpack",
    "cnn-coreml",
    "wide-xnnpack",
    "lstm-xnnpack",
    "text-xnnpack",
    "attending-xnnpack",
    "single-portable",
    "normed-portable",
    "exotic-portable",
)
DYNAMIC = {"scheme": "dynamic", "bits": 8, "per_channel": True}
STATIC = {"scheme": "static", "bits": 8, "per_channel": True, "calibration": {}}
LEAST = STATIC | {"calibration": {"method": "min-max"}}
PROFILES: dict[str, dict[str, Any]] = {
    "dynamic4": DYNAMIC | {"bits": 4},
    "static": STATIC,
    "tensor": LEAST | {"per_channel": False, "symmetric": True},
    "kept": LEAST | {"keep_float": ["head"]},
    "mixed": {"scheme": "mixed", "default": LEAST, "layers": [["type:linear", DYNAMIC]]},
    "least": LEAST,
    "nearly": DYNAMIC | {"keep_float": ["haed"]},
}
QUANTIZED = {
    "wide-xnnpack-dynamic4": 0.3,
    "wide-xnnpack-static": 0.1,
    "wide-xnnpack-tensor": 0.1,
    "wide-xnnpack-kept": 0.1,
    "wide-xnnpack-mixed": 0.1,
    "masked-xnnpack-least": 0.5,
}
"""Case to the signal error that it may have."""
REFUSED = ("wide-xnnpack-nearly", "single-portable-least")
AGAIN = ("cnn-xnnpack", "cnn-coreml", "wide-xnnpack-static")
RUN = [case for case in CASES if not case.endswith("coreml") and not case.startswith("exotic")]


@dataclass(frozen=True)
class Made:
    """What the script wrote."""

    folder: Path

    def bytes(self, case: str) -> bytes:
        return (self.folder / f"{case}.pte").read_bytes()

    def told(self, case: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{case}.json").read_text())
        return found

    def arrays(self, case: str, kind: str) -> dict[str, NDArray[Any]]:
        """`in`puts, the file's `out`puts, or those that the model gives (`want`)."""
        data = np.load(self.folder / f"{case}.npz")
        marked = f"{kind}."
        return {n.removeprefix(marked): data[n] for n in data.files if n.startswith(marked)}


def convert(
    folder: Path, cases: tuple[str, ...], *more: str, threads: int = 2, hash_seed: str = "0"
) -> subprocess.Popen[str]:
    profiles = folder / "profiles.json"
    profiles.write_text(json.dumps(PROFILES))
    command = [interpreter("executorch"), "-s", "-P", SCRIPT, BACKENDS, folder, threads]
    more = (*more, "--profiles", str(profiles))
    return subprocess.Popen(
        [*map(str, command), *cases, *more],
        cwd=folder,
        env={
            "PATH": os.defpath,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONHASHSEED": hash_seed,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("first")
    more = ("--patterns", str(folder / "patterns.json"))
    process = convert(folder, (*CASES, *QUANTIZED, *REFUSED), *more)
    log, _ = process.communicate(timeout=600)
    assert process.returncode == 0, log
    return Made(folder)


@pytest.mark.parametrize("case", RUN)
def test_outputs_are_the_models_at_sizes_that_were_not_captured(made: Made, case: str) -> None:
    assert made.told(case)["error"] is None
    found, wanted = made.arrays(case, "out"), made.arrays(case, "want")
    # The recipe's order is all that a file without names has.
    assert list(found) == [port["name"] for port in made.told(case)["io"]["outputs"]]
    for name, expected in wanted.items():
        assert found[name].dtype == expected.dtype
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)


def test_sizes_stay_dynamic_and_dtypes_are_kept(made: Made) -> None:
    io = made.told("text-xnnpack")["io"]
    assert [(p["shape"], p["dtype"]) for p in io["inputs"]] == [
        (["N", "T"], "int64"),
        (["N", "T"], "float32"),
    ]
    assert made.arrays("text-xnnpack", "in")["ids"].shape == (31, 9)
    assert {n: a.dtype.name for n, a in made.arrays("text-xnnpack", "out").items()} == {
        "label": "int64",
        "scores": "float32",
    }
    assert made.arrays("single-portable", "out")["scores"].shape == (3,)


def test_xnnpack_says_what_it_leaves_over(made: Made) -> None:
    assert made.told("cnn-xnnpack")["notes"] == []
    assert b"XnnpackBackend" in made.bytes("cnn-xnnpack")
    assert made.told("lstm-xnnpack")["notes"] == [
        "XNNPACK leaves to the portable kernels, which are slower: slice (6), squeeze (6), "
        "split_with_sizes (4), full (2), unsqueeze (2), mean (1)"
    ]


def test_what_xnnpack_takes_and_then_refuses_is_left_over(made: Made) -> None:
    refused, rest = made.told("text-xnnpack")["notes"]
    assert refused == (
        "XNNPACK takes no `unsqueeze_copy.default` of this model (XNNPACK reshape only supports 1 "
        "dynamic dimension. This may occur when): the portable kernels run it"
    )
    assert "unsqueeze (1)" in rest
    assert b"XnnpackBackend" in made.bytes("text-xnnpack")


def test_patterns_are_made_only_for_what_may_match_them(made: Made) -> None:
    """They take twice as long as all else of a small conversion."""
    found = json.loads((made.folder / "patterns.json").read_text())
    assert len(found["known"]) == 6 + 2
    assert all(found["known"])  # Else a match would be missed.
    assert found["makings"]["text-xnnpack"] == [0, 0, 0]
    assert found["makings"]["attending-xnnpack"] == [0, 1, 0]
    assert found["makings"]["wide-xnnpack-mixed"] == [0, 1, 0]  # Its norm has been fused by then.


def test_portable_files_ask_for_no_delegate(made: Made) -> None:
    assert made.told("single-portable")["notes"] == []
    assert b"Backend" not in made.bytes("single-portable")


def test_the_core_ml_delegate_is_made_in_float32(made: Made) -> None:
    assert made.told("cnn-coreml")["notes"] == [
        "Core ML computes in float32 here, which keeps the model off the Neural Engine"
    ]
    file = made.bytes("cnn-coreml")
    assert b"CoreMLBackend" in file
    assert b"model.mlmodel" in file
    assert b"conversion_date" not in file


def test_an_operator_without_a_kernel_is_named_with_its_place(made: Made) -> None:
    assert made.told("exotic-portable")["error"] == {
        "message": "ExecuTorch has no kernel for the operator `special_bessel_j0` (in `block.1`)",
        "hint": "write it with other operators; `torchscript` has all of PyTorch's operators, "
        "`onnx` and `tflite` have others",
        "field": "format",
    }


def test_equal_bytes_in_another_folder_process_hash_seed_and_thread_count(
    made: Made, tmp_path: Path
) -> None:
    process = convert(tmp_path, AGAIN, "--sources", str(made.folder), threads=1, hash_seed="7")
    log, _ = process.communicate(timeout=600)
    assert process.returncode == 0, log
    for case in AGAIN:
        assert Made(tmp_path).bytes(case) == made.bytes(case), case
        assert str(made.folder).encode() not in made.bytes(case)


@pytest.mark.parametrize("case", QUANTIZED)
def test_quantized_files_give_what_the_model_gives(made: Made, case: str) -> None:
    assert made.told(case)["error"] is None
    found, wanted = made.arrays(case, "out"), made.arrays(case, "want")
    for name, expected in wanted.items():
        off = np.linalg.norm(found[name] - expected)
        assert off < QUANTIZED[case] * np.linalg.norm(expected - expected.mean(0))
        assert off > 0


def test_quantized_files_are_smaller(made: Made) -> None:
    size = {case: len(made.bytes(case)) for case in ("wide-xnnpack", *QUANTIZED) if "wide" in case}
    float_size = size.pop("wide-xnnpack")
    assert all(each < float_size for each in size.values()), size
    assert size["wide-xnnpack-tensor"] < size["wide-xnnpack-static"] < size["wide-xnnpack-kept"]


def test_how_much_became_integers_is_said(made: Made) -> None:
    (ranges, share) = made.told("wide-xnnpack-static")["notes"]
    assert ranges.startswith("ranges of activations by ")
    assert "on 8 held-out runs: min-max 0." in ranges
    (kept,) = made.told("wide-xnnpack-kept")["notes"]
    assert share.split("% of")[0] > kept.split("% of")[0]
    # Dynamic ranges are for linear layers alone, and those are what it says.
    (dynamic,) = made.told("wide-xnnpack-dynamic4")["notes"]
    assert dynamic.endswith("int8")


def test_ranges_are_written_by_node(made: Made) -> None:
    found = json.loads((made.folder / "wide-xnnpack-static.ranges.json").read_text())
    assert set(found["tried"]) == {"min-max", "moving-average", "percentile", "entropy", "mse"}
    assert found["method"] in found["tried"]
    (image,) = (t["ranges"] for t in found["tensors"] if t["name"] == "image")
    assert image[0][0] < -2 < 2 < image[0][1]


def test_masks_stay_floats_in_programs(made: Made) -> None:
    notes = made.told("masked-xnnpack-least")["notes"]
    assert any("stay in float: there is a mask" in note for note in notes)


def test_what_executorch_refuses_to_quantize(made: Made) -> None:
    nearly = made.told("wide-xnnpack-nearly")["error"]
    assert nearly["field"] == "quantization.keep_float"
    assert "`head`" in nearly["message"]
    portable = made.told("single-portable-least")["error"]
    assert portable["field"] == "options.backend"
    assert "portable" in portable["message"]
