"""Files that ONNX Runtime does not take as they are: upgraded, held against themselves, or refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.harness import Result, interpreter, port, run_worker

pytestmark = pytest.mark.toolchain

MAKER = """
import numpy as np, onnx
from onnx import TensorProto as T, helper as h, numpy_helper as nh

def make(name, nodes, shape, weights, opset=6, outputs=("y",)):
    values = [h.make_tensor_value_info("x", T.FLOAT, shape)]
    values += [h.make_tensor_value_info(n, T.FLOAT, w.shape) for n, w in weights.items()]
    results = [h.make_tensor_value_info(o, T.FLOAT, None) for o in outputs]
    tensors = [nh.from_array(w, n) for n, w in weights.items()]
    graph = h.make_graph(nodes, "g", values, results, tensors)
    form = 3 if opset < 7 else 8
    made = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=form)
    onnx.save(made, name + ".onnx")

r = lambda *shape: np.random.default_rng(0).standard_normal(shape).astype(np.float32)
n = h.make_node
norm = n("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], is_test=1)
make("norm", [norm], [2, 3, 4], {"s": r(3), "b": r(3), "m": r(3), "v": abs(r(3))})
# Of as many channels as the last axis has elements: only the operator set says which one is meant.
before = [n("Exp", ["x"], ["t"]), n("Neg", ["t"], ["u"])]
make("slopes", [*before, n("PRelu", ["u", "s"], ["y"])], [2, 3, 3], {"s": r(3)})
make("axis", [n("Mul", ["x", "b"], ["y"], broadcast=1, axis=1)], [2, 3, 3], {"b": r(3)})
twice = n("Add", ["x", "x"], ["t"])
make("dropped", [twice, n("Dropout", ["t"], ["y"], is_test=1, ratio=0.3)], [2, 3], {})
make("training", [twice, n("Dropout", ["t"], ["y"])], [2, 3], {})
larger = n("Upsample", ["x"], ["y"], height_scale=2.0, width_scale=2.0)
make("enlarged", [larger], [1, 2, 3, 4], {})
lstm = n("LSTM", ["x", "w", "r"], ["y", "h", "c"], hidden_size=3, layout=1)
make("lstm", [lstm], [2, 5, 4], {"w": r(1, 12, 4), "r": r(1, 12, 3)}, 14, ("y", "h", "c"))
make("foreign", [n("Nope", ["x"], ["y"], domain="com.me")], [2, 5], {}, 14)
make("young", [n("Add", ["x", "x"], ["y"])], [2, 3], {}, 7)
"""
SHAPES: dict[str, list[int | str]] = {
    "norm": [2, 3, 4],
    "slopes": [2, 3, 3],
    "axis": [2, 3, 3],
    "dropped": [2, 3],
    "training": [2, 3],
    "enlarged": [1, 2, 3, 4],
    "lstm": [2, 5, 4],
    "foreign": [2, 5],
    "young": [2, 3],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    subprocess.run([interpreter("onnx"), "-c", MAKER], cwd=folder, check=True)
    return folder


def options(name: str) -> dict[str, Any]:
    outputs = ["y", "h", "c"] if name == "lstm" else ["y"]
    return {"ports": [port("x", SHAPES[name])], "outputs": outputs}


def adopt(folder: Path, name: str) -> Result:
    return run_worker(
        "onnx",
        "onnx",
        "source.adopt:adopt",
        inputs={"source": folder / f"{name}.onnx"},
        options={"source": {"kind": "onnx"}, "format": {}, **options(name)},
    )


def run(folder: Path, name: str, artifact: Path, io: Path, runtime: str) -> Result:
    samples = folder / f"{name}.npz"
    shape: Any = (3, *SHAPES[name])
    given = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    np.savez(samples, x=given)
    return run_worker(
        "onnx",
        "kit",
        "run.measurement:run_artifact",
        inputs={"artifact": artifact, "io": io, "samples": samples},
        outputs={"samples": "out.npz", "run": "run.json"},
        options=options(name) | {"dynamic": False, "runtime_module": runtime, "latency": None},
    )


def close(got: Any, wanted: Any) -> bool:
    return bool(np.allclose(got, wanted, rtol=1e-5, atol=1e-6))


@pytest.mark.parametrize("name", ["norm", "slopes", "axis", "dropped", "lstm"])
def test_an_upgraded_file_gives_what_it_gave(files: Path, name: str) -> None:
    made = adopt(files, name)
    (note,) = made.notes
    assert "ONNX Runtime" in note
    assert "the reference evaluator of onnx" in note
    assert ("upgraded it to 7" in note) == (name != "lstm")
    original = run(files, name, files / f"{name}.onnx", made.outputs["io"], "onnx.source.original")
    upgraded = run(files, name, made.artifact, made.outputs["io"], "onnx.runtime")
    assert original.json("run")["runtime"].startswith("the reference evaluator of onnx")
    assert upgraded.json("run")["runtime"].startswith("onnxruntime")
    wanted = original.arrays()
    for output, got in upgraded.arrays().items():
        assert close(got, wanted[output])


def test_what_old_operators_mean_is_their_documentation_s(files: Path) -> None:
    """Of a slope a channel, and of an operand along an axis, where later sets would mean another axis."""
    given = np.random.default_rng(1).standard_normal((3, 2, 3, 3)).astype(np.float32)
    along = np.random.default_rng(0).standard_normal(3).astype(np.float32)[:, None]
    for name, wanted in (("slopes", -np.exp(given) * along), ("axis", given * along)):
        made = adopt(files, name)
        got = run(files, name, made.artifact, made.outputs["io"], "onnx.runtime").arrays()["y"]
        assert close(got, wanted)


def test_what_onnx_runtime_takes_stays_as_it_is(files: Path) -> None:
    made = adopt(files, "young")
    assert made.notes == []
    original = run(files, "young", files / "young.onnx", made.outputs["io"], "onnx.source.original")
    assert original.json("run")["runtime"].startswith("onnxruntime")
    assert original.notes == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("training", "its `Dropout` is one for training, whose output is random"),
        ("enlarged", "neither ONNX Runtime nor the reference evaluator of onnx"),
        ("foreign", "onnxruntime"),
    ],
)
def test_a_file_that_cannot_be_upgraded_is_refused(files: Path, name: str, said: str) -> None:
    made = adopt(files, name)
    assert said in made.message
    assert made.field == "source.onnx"
    if name != "foreign":
        assert made.hint.startswith("export the model again")


def test_an_upgrade_that_changes_the_model_is_refused_by_the_operator_s_name(
    files: Path, tmp_path: Path
) -> None:
    """The version converter is replaced by one that forgets an operation."""
    broken = """
import importlib, json, sys, types, onnx
from pathlib import Path
package = types.ModuleType("backends"); package.__path__ = [sys.argv[1]]; sys.modules["backends"] = package
upgrade = importlib.import_module("backends.onnx.source.upgrade")
kept = upgrade.version_converter.convert_version
def convert(model, version):
    made = kept(model, version)
    made.graph.node[1].op_type = "Abs"
    return made
upgrade.version_converter = types.SimpleNamespace(convert_version=convert)
from backends.kit.protocol.request import Request
adopt = importlib.import_module("backends.onnx.source.adopt")
folder = Path(sys.argv[3])
request = Request({"source": Path(sys.argv[2])}, {"artifact": folder / "a.onnx", "io": folder / "io.json"},
                  json.loads(sys.argv[4]), folder)
try:
    adopt.adopt(request)
except Exception as error:
    print(error.message)
"""
    import buildsys.backends

    backends = Path(buildsys.backends.__file__).parent
    given = [str(path) for path in (backends, files / "slopes.onnx", tmp_path)]
    command = [str(interpreter("onnx")), "-c", broken, *given, json.dumps(options("slopes"))]
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    assert "the upgraded file gives another `y`" in done.stdout
    assert "it is the `Neg` that makes `u`" in done.stdout
