"""ORT files and their lists of operators."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.harness import Result
from tests.support.models.onnx_models import Made

pytestmark = pytest.mark.toolchain

FILES = {"artifact": "model.ort", "io": "io.json"}


def convert(bert: Made, level: str = "extended", hash_seed: str = "0", threads: int = 2) -> Result:
    return bert.step(
        "onnx",
        "ort",
        "worker:convert",
        outputs=FILES,
        hash_seed=hash_seed,
        threads=threads,
        optimization=level,
    )


def listed(bert: Made, level: str, types: bool = False, hash_seed: str = "0") -> str:
    made = bert.step(
        "onnx",
        "ort",
        "worker:list_operators",
        hash_seed=hash_seed,
        optimization=level,
        type_reduction=types,
    )
    assert made.io == bert.onnx.io
    return made.artifact.read_text()


@pytest.fixture(scope="module")
def converted(bert: Made) -> Result:
    return convert(bert)


def test_it_gives_what_torch_gives_at_two_sizes(bert: Made, converted: Result) -> None:
    assert converted.bytes[4:8] == b"ORTM"
    bert.agrees(converted, "onnx", "ort")


def test_names_integers_and_sizes_stay(bert: Made, converted: Result) -> None:
    assert converted.io == bert.onnx.io
    assert [(p.name, p.shape, p.dtype) for p in converted.io.inputs] == [
        (name, ["N", "T"], "int64") for name in ("tokens", "mask", "kinds")
    ]


def test_equal_bytes_in_other_processes_and_no_paths(bert: Made, converted: Result) -> None:
    """ONNX Runtime itself writes another file in each process."""
    again = convert(bert, hash_seed="7", threads=1)
    assert again.bytes == converted.bytes
    assert str(bert.onnx.artifact.parent).encode() not in converted.bytes


def test_a_level_decides_which_operators_a_build_needs(bert: Made) -> None:
    basic, extended = listed(bert, "basic"), listed(bert, "extended")
    assert re.search(r"^ai\.onnx;17;LayerNormalization$", basic, re.MULTILINE)
    assert "com.microsoft" not in basic
    assert re.search(r"^com\.microsoft;1;BiasGelu,FusedMatMul$", extended, re.MULTILINE)
    assert "#" not in extended


def test_types_are_listed_where_asked_for(bert: Made) -> None:
    told = listed(bert, "none", types=True)
    assert told == listed(bert, "none", types=True, hash_seed="7")
    (types,) = re.findall(r"\bCast(\{.*?\}\})", told)
    assert json.loads(types) == {"inputs": {"0": ["int64_t"]}, "outputs": {"0": ["float"]}}


def test_what_is_no_onnx_file_is_refused(bert: Made) -> None:
    broken = Result(
        {"artifact": bert.samples, "io": bert.onnx.outputs["io"]}, [], None, "", seconds=0
    )
    made = bert.step("onnx", "ort", "worker:convert", source=broken, optimization="basic")
    assert re.match(r"onnxruntime \d+\.\d+\.\d+ cannot convert the model: ", made.message)
