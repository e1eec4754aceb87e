"""ONNX files as exported programs, and what is made of them: branches, operators, errors, bytes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import buildsys
from tests.support import models, toolchain
from tests.support.harness import Result, port, run_worker
from tests.support.scripts import digest, script

pytestmark = pytest.mark.toolchain

BACKENDS = Path(buildsys.__file__).parent / "backends"
MAKER = models.FOLDER / "chosen_onnx.py"
MODELS = Path(__file__).with_name("imported_models.py")
SAME, REFUSED = 744, 132
"""Of ONNX's own 876 models with float inputs: those that torch computes alike, and those that are refused."""


def ports(span: list[int] | None = None) -> dict[str, Any]:
    window = port("window", ["N", 12], N=(1, 4, 1))
    return {"ports": [window, port("rate", [], "int64", span=span)], "outputs": ["y"]}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file that takes one of two branches by the input `rate`."""
    folder = tmp_path_factory.mktemp("chosen")
    script("onnx", MAKER, str(folder))
    return folder


def imported(folder: Path, span: list[int] | None = None, **process: Any) -> Result:
    return run_worker(
        "onnx-export",
        "torch",
        "from_onnx.worker:convert",
        inputs=source(folder),
        outputs={"artifact": "model.pt2", "io": "io.json"},
        options={**ports(span), "format": {}, "scheme": None, "dynamic": False},
        **process,
    )


def converted(backend: str, worker: str, given: dict[str, Path], **more: Any) -> Result:
    """A file made of a program, or of an ONNX file."""
    named = more.pop("named", "model.tflite")
    return run_worker(
        "tflite-direct" if backend == "tflite" else backend,
        backend,
        worker,
        inputs=given,
        options={"format": {}, "scheme": None} | more,
        outputs={"artifact": named, "io": "io.json"},
    )


def source(folder: Path) -> dict[str, Path]:
    return {"artifact": folder / "chosen.onnx", "io": folder / "chosen.io.json"}


def apart(backend: str, made: Result, folder: Path) -> float:
    """What an artifact is off ONNX Runtime at most, on the samples."""
    done = run_worker(
        backend,
        "kit",
        "run.measurement:run_artifact",
        inputs={**made.outputs, "samples": folder / "chosen.samples.npz"},
        outputs={"samples": "out.npz", "run": "run.json"},
        options=ports([16000, 16000])
        | {"dynamic": backend == "openvino", "runtime_module": f"{backend}.runtime"}
        | {"latency": {"warmup": 0, "runs": 1}},
    )
    expected = np.load(folder / "chosen.npz")["y"]
    # An input without axes has no batch: each row is run alone.
    return float(np.abs(done.arrays()["y"].reshape(expected.shape) - expected).max())


def test_a_branch_that_the_recipe_decides_becomes_tflite(chosen: Path) -> None:
    program = imported(chosen, [16000, 16000])
    (note,) = program.notes
    assert note.startswith("the recipe's inputs decide `/rate`, `/squeeze` of the ONNX file")
    assert [(p.name, p.shape) for p in program.io.inputs] == [("window", [1, 12]), ("rate", [])]
    given = dict(program.outputs)
    made = converted("tflite", "convert.direct:convert", given, **ports([16000, 16000]))
    assert apart("tflite", made, chosen) < 1e-5


def test_equal_files_give_equal_programs(chosen: Path) -> None:
    one, other = (imported(chosen, [16000, 16000], hash_seed=seed) for seed in ("0", "7"))
    assert digest(one.artifact) == digest(other.artifact)


def test_a_branch_that_an_input_decides_is_an_error_with_a_way_out(chosen: Path) -> None:
    for done in (
        imported(chosen),
        converted("openvino", "worker:convert", source(chosen), **ports()),
    ):
        assert "branch" in done.message
        assert "`rate`" in done.message
        assert "`rate: {range: [16000, 16000]}`" in done.hint
        assert done.field == "inputs"


def test_openvino_takes_the_branch_and_keeps_sizes(chosen: Path) -> None:
    options = ports([16000, 16000])
    made = converted("openvino", "worker:convert", source(chosen), named="m", **options)
    assert "OpenVINO gets the branch that is taken" in made.notes[-1]
    assert apart("openvino", made, chosen) < 1e-5
    assert '<data shape="1..4,12" element_type="f32"' in (made.artifact / "model.xml").read_text()


def test_an_operator_without_counterpart_is_named(chosen: Path, tmp_path: Path) -> None:
    code = (
        "import onnx, sys; m = onnx.load(sys.argv[1])\n"
        "for n in [n for a in m.graph.node[1].attribute for n in a.g.node if n.op_type == 'Relu']:\n"
        "    n.op_type = 'Det'\n"
        "onnx.save(m, sys.argv[2])"
    )
    command = [
        toolchain.python("onnx"),
        "-c",
        code,
        chosen / "chosen.onnx",
        tmp_path / "chosen.onnx",
    ]
    subprocess.run([str(part) for part in command], check=True)
    (tmp_path / "chosen.io.json").write_bytes((chosen / "chosen.io.json").read_bytes())
    done = imported(tmp_path, [16000, 16000])
    assert "the operator `Det` has no counterpart in torch here" in done.message
    assert "`onnx`" in done.hint


def test_onnx_s_own_models_give_the_same_or_are_refused() -> None:
    """None gives other numbers; see `imported_models.py`."""
    (packages,) = toolchain.python("openvino").parents[1].glob("lib/python*/site-packages")
    data = packages / "onnx" / "backend" / "test" / "data"
    command = [toolchain.python("onnx-export"), "-W", "ignore", MODELS, BACKENDS, data]
    done = subprocess.run(
        [str(part) for part in command], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    assert found["other"] == []
    assert len(found["same"]) == SAME
    assert sum(map(len, found["refused"].values())) == REFUSED
    vague = [
        why
        for why in found["refused"]
        if "has no counterpart" not in why and "depend on" not in why
    ]
    assert vague == []
