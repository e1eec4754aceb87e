"""Exported programs in float16 and bfloat16."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from tests.support.harness import Result, factory, interpreter, port, run_worker
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

TOKENS = [
    port("tokens", ["N", "T"], "int64", span=[0, 7], T=(2, 12, 5)),
    port("mask", ["N", "T"], T=(2, 12, 5)),
]
TYPES = """
import json, sys, torch
program = torch.export.load(open(sys.argv[1], "rb"))
types = {name.removeprefix("inner."): str(t.dtype) for name, t in program.state_dict.items()}
done = {str(n.meta["val"].dtype) for n in program.graph.nodes
        if isinstance(n.meta.get("val"), torch.Tensor) and n.op == "call_function"}
print(json.dumps([types, sorted(done)]))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = zoo.write(tmp_path_factory.mktemp("attention"), "attention")
    described = factory(TOKENS, ["y"], method="export")
    return run_worker("torch", "torch", "worker:export", options=described, project=folder)


def quantize(program: Result, scheme: str, hash_seed: str = "0", **profile: Any) -> Result:
    return run_worker(
        "torch",
        "torch",
        "capture.lowering:quantize",
        inputs=dict(program.outputs),
        options={
            "ports": TOKENS,
            "outputs": ["y"],
            "scheme": scheme,
            "quantization": {"scheme": scheme, **profile},
        },
        hash_seed=hash_seed,
    )


def run(made: Result, folder: Path) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    feed: dict[str, np.ndarray[Any, Any]] = {
        "tokens": rng.integers(0, 8, (6, 7)),
        "mask": np.ones((6, 7), np.float32),
    }
    arrays.save(folder / "in.npz", feed)
    options = {
        "ports": TOKENS,
        "outputs": ["y"],
        "dynamic": True,
        "runtime_module": "torch.runtime",
        "latency": None,
    }
    ran = run_worker(
        "torch",
        "kit",
        "run.measurement:run_artifact",
        inputs={**made.outputs, "samples": folder / "in.npz"},
        outputs={"samples": "out.npz", "run": "run.json"},
        options=options,
    )
    return ran.arrays()["y"]


def types(made: Result) -> tuple[dict[str, str], list[str]]:
    told = subprocess.run(
        [interpreter("torch"), "-W", "ignore", "-c", TYPES, made.artifact],
        check=True,
        capture_output=True,
        text=True,
    )
    weights, done = json.loads(told.stdout)
    return weights, done


def test_weights_and_arithmetic_are_smaller_but_for_what_is_kept(
    program: Result, tmp_path: Path
) -> None:
    made = quantize(program, "bfloat16", keep_float=["layer.norm1"])
    again = quantize(program, "bfloat16", hash_seed="5", keep_float=["layer.norm1"])
    assert made.bytes == again.bytes
    assert made.io == program.io
    weights, done = types(made)
    own = {name for name, kind in weights.items() if kind == "torch.float32"}
    assert own == {name for name in weights if name.startswith("layer.norm1.")} != set()
    assert set(weights.values()) == {"torch.bfloat16", "torch.float32"}
    assert "torch.bfloat16" in done
    want, got = run(program, tmp_path), run(made, tmp_path)
    assert got.dtype == np.float32
    assert 1e-4 < np.abs(got - want).max() / np.abs(want).max() < 3e-2


def test_a_glob_that_fits_no_module_is_an_error(program: Result) -> None:
    failed = quantize(program, "bfloat16", keep_float=["layer.norm9"])
    assert failed.message == (
        "`layer.norm9` fits no module of the model; near it: `layer.norm2`, `layer.norm1`, `layer.linear2`"
    )
    assert failed.field == "quantization.keep_float"
