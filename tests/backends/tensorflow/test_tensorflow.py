"""SavedModels run by TensorFlow, and TensorFlow.js in Node.js and in headless Chromium."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.contract import Contract, Port
from tests.support.browser import visit
from tests.support.harness import Result, interpreter, port, run_worker
from tests.support.scripts import digest

pytestmark = pytest.mark.toolchain

Arrays = dict[str, NDArray[Any]]
MODEL = "mixed"
"""An image out, a recurrence, integers in and out, three outputs: one conversion tells of them all."""
TOLERANCE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}
HERE = Path(__file__).parent


def options(zoo: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((zoo / f"{MODEL}.options.json").read_text())
    return told | {"format": {}, "scheme": None}


def to_saved_model(zoo: Path, **more: Any) -> Result:
    return run_worker(
        "tflite-onnx",
        "tensorflow",
        "saved_model_worker:convert",
        inputs={"artifact": zoo / f"{MODEL}.onnx", "io": zoo / f"{MODEL}.io.json"},
        options=options(zoo),
        **more,
    )


def to_tfjs(zoo: Path, made: Result, **more: Any) -> Result:
    return run_worker(
        "tfjs",
        "tensorflow",
        "tfjs_worker:convert",
        inputs=made.outputs,
        options=options(zoo),
        **more,
    )


def run(toolchain: str, module: str, made: Any, told: dict[str, Any], samples: Path) -> Result:
    return run_worker(
        toolchain,
        "kit",
        "run.measurement:run_artifact",
        inputs={**made, "samples": samples},
        outputs={"samples": "out.npz", "run": "run.json"},
        options={
            **told,
            "dynamic": False,
            "runtime_module": f"tensorflow.{module}",
            "latency": {"warmup": 1, "runs": 3},
        },
    )


def samples(zoo: Path) -> tuple[Arrays, Arrays]:
    """Inputs and PyTorch's outputs."""
    data: Arrays = arrays.load(zoo / f"{MODEL}.npz")
    split = {
        part: {n.removeprefix(part): a for n, a in data.items() if n.startswith(part)}
        for part in ("in.", "out.")
    }
    return split["in."], split["out."]


@pytest.fixture(scope="module")
def saved(onnx_zoo: Path) -> Result:
    return to_saved_model(onnx_zoo)


@pytest.fixture(scope="module")
def script(onnx_zoo: Path, saved: Result) -> Result:
    return to_tfjs(onnx_zoo, saved)


@pytest.fixture(scope="module")
def again(onnx_zoo: Path) -> Result:
    """Another folder, hash seed and number of threads."""
    return to_saved_model(onnx_zoo, hash_seed="7", threads=1)


@pytest.fixture(scope="module")
def given(onnx_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples as a file."""
    path = tmp_path_factory.mktemp("samples") / "in.npz"
    arrays.save(path, samples(onnx_zoo)[0])
    return path


def check(zoo: Path, found: Arrays) -> None:
    _, expected = samples(zoo)
    assert set(found) == set(expected) == {"mask", "scores", "label"}
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert np.ptp(array.astype(np.float64), axis=0).max() > 1e-3
        np.testing.assert_allclose(found[name], array, **TOLERANCE)


def test_tensorflow_computes_what_torch_does(onnx_zoo: Path, saved: Result, given: Path) -> None:
    done = run("tflite-onnx", "saved_model_runtime", saved.outputs, options(onnx_zoo), given)
    assert done.json("run")["runtime"] == "tensorflow 2.19.0"
    check(onnx_zoo, done.arrays())
    ports = [*saved.io.inputs, *saved.io.outputs]
    # The recipe's names, order, dtypes; onnx2tf's own output would be channels-last.
    assert [(p.name, p.shape, p.dtype) for p in ports] == [
        ("photo", [1, 3, 12, 20], "float32"),
        ("ids", [1, 7], "int64"),
        ("mask", [1, 2, 12, 20], "float32"),
        ("scores", [1, 3], "float32"),
        ("label", [1], "int64"),
    ]
    assert all(p.artifact_name is None and p.permutation is None for p in ports)
    assert saved.notes == ["size N is fixed at 1 in the SavedModel"]


def test_tensorflow_js_computes_the_same_in_node(
    onnx_zoo: Path, script: Result, given: Path
) -> None:
    done = run("tfjs", "tfjs_runtime", script.outputs, options(onnx_zoo), given)
    assert done.json("run")["runtime"] == "TensorFlow.js 4.22.0 (wasm)"
    check(onnx_zoo, done.arrays())
    signature = json.loads((script.artifact / "model.json").read_text())["signature"]
    assert set(signature["inputs"]) == {"photo", "ids"}
    assert set(signature["outputs"]) == {"mask", "scores", "label"}
    assert "input `ids` is int32 in the TensorFlow.js model, int64 in the model" in script.notes
    assert [p.dtype for p in script.io.inputs] == ["float32", "int32"]


def test_a_browser_computes_the_same(onnx_zoo: Path, script: Result) -> None:
    inputs, expected = samples(onnx_zoo)
    dtypes = {port.name: port.dtype for port in script.io.inputs}
    rows = range(3)
    feeds = [
        {
            name: {
                "data": array[row : row + 1].ravel().tolist(),
                "shape": [1, *array.shape[1:]],
                "dtype": dtypes[name],
            }
            for name, array in inputs.items()
        }
        for row in rows
    ]
    packages = interpreter("tfjs").parents[1] / "node_modules" / "@tensorflow"
    more = {
        f"tf-{name}.js": (packages / f"tfjs-{name}" / "dist" / f"tf-{name}.min.js").read_bytes()
        for name in ("core", "converter", "backend-cpu")
    }
    more["probe.html"] = (HERE / "probe.html").read_bytes()
    more["feeds.json"] = json.dumps(feeds).encode()
    answer, _ = visit(script.artifact, "probe.html", more)
    assert "error" not in answer, answer["error"]
    for name, array in expected.items():
        parts = [np.array(a[name]["data"]).reshape(a[name]["shape"]) for a in answer["answers"]]
        np.testing.assert_allclose(np.concatenate(parts), array[: len(rows)], **TOLERANCE)


def test_equal_inputs_give_equal_saved_models(saved: Result, again: Result) -> None:
    assert [p.name for p in saved.artifact.iterdir()] == ["saved_model.pb"]
    assert digest(saved.artifact) == digest(again.artifact)
    assert saved.io == again.io
    assert b"/onnx2tf" not in (saved.artifact / "saved_model.pb").read_bytes()


def test_equal_inputs_give_equal_scripts(onnx_zoo: Path, script: Result, again: Result) -> None:
    other = to_tfjs(onnx_zoo, again, hash_seed="7", threads=1)
    assert digest(script.artifact) == digest(other.artifact)
    assert script.io == other.io


def test_an_operator_that_tensorflow_js_lacks_is_named(
    onnx_zoo: Path, saved: Result, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    made = (saved.artifact / "saved_model.pb").read_bytes()
    assert b"Tanh" in made
    # An operator of the same form, which TensorFlow has as well.
    (folder / "saved_model.pb").write_bytes(made.replace(b"Tanh", b"Rint"))
    altered = Result({**saved.outputs, "artifact": folder}, [], None, "", 0)
    refused = to_tfjs(onnx_zoo, altered)
    assert refused.message.startswith("TensorFlow.js lacks operators: ")
    assert "Rint" in refused.message
    assert "format: onnx_web" in refused.hint
    assert refused.field == "format"


def test_what_its_wasm_lacks_is_run_in_javascript_and_said(tmp_path: Path) -> None:
    node: dict[str, Any] = {"attr": {"dtype": {"type": "DT_FLOAT"}, "T": {"type": "DT_FLOAT"}}}
    nodes = [
        {
            **node,
            "name": name,
            "op": "Placeholder",
            "attr": {**node["attr"], "shape": shape(*sizes)},
        }
        for name, sizes in (("x", (2, 3)), ("y", (3, 2)))
    ]
    equation = base64.b64encode(b"ij,jk->ik").decode()
    nodes.append(
        {
            "name": "z",
            "op": "Einsum",
            "input": ["x", "y"],
            "attr": {**node["attr"], "equation": {"s": equation}, "N": {"i": "2"}},
        }
    )
    told = {
        "format": "graph-model",
        "modelTopology": {"node": nodes, "versions": {"producer": 1987}},
        "weightsManifest": [{"paths": [], "weights": []}],
        "signature": {
            "inputs": {n: info(n, *s) for n, s in (("x", (2, 3)), ("y", (3, 2)))},
            "outputs": {"z": info("z", 2, 2)},
        },
    }
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text(json.dumps(told))
    io = tmp_path / "io.json"
    contract = Contract(
        [Port("x", [2, 3], "float32"), Port("y", [3, 2], "float32")], [Port("z", [2, 2], "float32")]
    )
    contract.write(io)
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    y = np.arange(6, dtype=np.float32).reshape(1, 3, 2) - 2
    arrays.save(tmp_path / "in.npz", {"x": x, "y": y})
    options = {"ports": [port("x", [2, 3]), port("y", [3, 2])], "outputs": ["z"]}
    made = {"artifact": folder, "io": io}
    done = run("tfjs", "tfjs_runtime", made, options, tmp_path / "in.npz")
    assert done.json("run")["runtime"] == "TensorFlow.js 4.22.0 (cpu)"
    assert "Kernel 'Einsum' not registered for backend 'wasm'" in done.log
    found: Arrays = done.arrays()
    np.testing.assert_allclose(found["z"], x @ y)


def shape(*sizes: int) -> dict[str, Any]:
    return {"shape": {"dim": [{"size": str(size)} for size in sizes]}}


def info(name: str, *sizes: int) -> dict[str, Any]:
    return {"name": f"{name}:0", "dtype": "DT_FLOAT", "tensorShape": shape(*sizes)["shape"]}
