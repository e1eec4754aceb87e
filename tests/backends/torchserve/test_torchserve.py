"""`.mar` files, and a real TorchServe that answers from one."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.torchserve.rules import TorchServeOptions
from tests.support.describing import GRAY, WRITTEN, describe
from tests.support.harness import ROOT, Result, interpreter, run_worker
from tests.support.models import small_onnx as small
from tests.support.models import small_torch

pytestmark = pytest.mark.toolchain
PROBE = Path(__file__).with_name("probe.py")


def make(inputs: dict[str, Path], seed: str = "0", version: str = "1.2.0", **given: Any) -> Result:
    return run_worker(
        "torchserve",
        "torchserve",
        "worker:make",
        inputs=inputs,
        outputs={"artifact": "model.mar", "io": "io.json"},
        options={
            "ports": small.PORTS,
            "outputs": small.OUTPUTS,
            "scheme": None,
            "format": TorchServeOptions(**given).model_dump(mode="json"),
            "metadata": {**small.METADATA, "version": version},
        },
        hash_seed=seed,
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return small_torch.write(tmp_path_factory.mktemp("torch"))["two"]


@pytest.fixture(scope="module")
def made(inputs: dict[str, Path]) -> Result:
    return make(inputs)


def entries(made: Result) -> dict[str, bytes]:
    with zipfile.ZipFile(made.artifact) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_an_archive_of_the_model_and_its_contract(made: Result, inputs: dict[str, Path]) -> None:
    files = entries(made)
    assert list(files) == [
        "MAR-INF/MANIFEST.json",
        "handler.py",
        "io.json",
        "model-config.yaml",
        "model.pt",
        "wire.py",
    ]
    assert files["model.pt"] == inputs["artifact"].read_bytes()
    manifest = json.loads(files["MAR-INF/MANIFEST.json"])["model"]
    assert (manifest["modelName"], manifest["modelVersion"]) == ("net", "1.2.0")
    assert made.io == small.CONTRACT
    assert made.notes == []


def test_equal_bytes_in_another_folder_and_hash_seed(made: Result, inputs: dict[str, Path]) -> None:
    assert make(inputs, seed="7").bytes == made.bytes


def test_options_are_in_the_archive(inputs: dict[str, Path]) -> None:
    files = entries(
        make(inputs, version="", workers=2, threads=3, response_timeout_s=9, nonfinite_inputs=True)
    )
    config = json.loads(files["model-config.yaml"])
    assert config == {"minWorkers": 2, "maxWorkers": 2, "responseTimeout": 9}
    record = json.loads(files["io.json"])
    assert (record["threads"], record["nonfinite"], record["model"]["release"]) == (3, True, None)
    assert json.loads(files["MAR-INF/MANIFEST.json"])["model"]["modelVersion"] == "1.0"


def test_a_finished_archive_is_told_of_labels(made: Result) -> None:
    names = ["a", "b", "c", "d"]
    told = describe("torchserve", "torchserve", made, labels={"y": names}, preprocess={"x": GRAY})
    before, after = entries(made), entries(told)
    assert {name for name in after if after[name] != before.get(name)} == {"io.json"}
    record = json.loads(after["io.json"])
    assert [port["labels"] for port in record["outputs"]] == [names, None]
    assert [port["preprocess"] for port in record["inputs"]] == [WRITTEN, None]


def test_a_real_server_answers(made: Result, tmp_path: Path) -> None:
    feed = small.feed(9, 7, seed=4)
    arrays.save(tmp_path / "in.npz", feed)
    as_json, as_bytes = "application/json", "application/octet-stream"
    good = {"x": [[1, 2, 3]], "ids": [[0, 7]]}
    bodies = [
        ({"inputs": good}, as_json),
        ({"inputs": good}, as_bytes),
        ({"inputs": {**good, "ids": [[0, 8]]}}, as_json),
        ({"inputs": {"x": [[1, 2, 3]]}}, as_json),
        ({"inputs": {**good, "x": [[1, 2]]}}, as_bytes),
        ('{"inputs": {"x": [[NaN, 0, 0]]}}', as_bytes),
    ]
    given = {
        "artifact": str(made.artifact),
        "io": str(made.outputs["io"]),
        "samples": str(tmp_path / "in.npz"),
        "options": {
            "ports": small.PORTS,
            "outputs": small.OUTPUTS,
            "dynamic": True,
            "latency": {"warmup": 1, "runs": 5},
        },
        "bodies": [(b if isinstance(b, str) else json.dumps(b), kind) for b, kind in bodies],
    }
    # Java is the toolchain's: the machine has none here.
    environ = {
        "PATH": str(tmp_path / "empty"),
        "PYTHONPATH": str(ROOT.parent),
        "TMPDIR": str(tmp_path),
    }
    subprocess.run(
        [interpreter("torchserve"), PROBE, tmp_path],
        input=json.dumps(given),
        text=True,
        check=True,
        env=environ,
    )
    want = small.expected(feed)
    got = arrays.load(tmp_path / "out.npz")
    assert sorted(got) == sorted(want)
    for name, array in got.items():
        assert array.dtype == want[name].dtype
        assert np.allclose(array.astype(float), want[name], rtol=1e-6, atol=1e-6)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["runtime"].startswith("torchserve 0.12.0 with torch 2.13.0")
    assert run["peak_rss_bytes"] > 200 * 2**20  # Java's and the worker's.
    found = json.loads((tmp_path / "probe.json").read_text())
    assert [status for status, _ in found["answers"]] == [200, 200, 422, 422, 422, 422]
    texts = [text for _, text in found["answers"]]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["model"]["release"] == "1.2.0"
    messages = [json.loads(text)["message"] for text in texts[2:]]
    assert messages[0] == "input `ids`: 8 at [0, 1] is not within 0..7"
    assert messages[1] == "input `ids`: is missing; the model takes `x`, `ids`"
    assert messages[2] == "input `x`: axis 1 has the size 2, and must have 3"
    assert messages[3].startswith("`NaN` is not JSON")
    assert found["started"] >= 2  # Java and one worker: all that was started is gone.
    assert found["left"] == []
    assert not found["scratch"]
