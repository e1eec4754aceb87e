"""A service and a model repository of a file of the user's, by the command itself."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.project import Project
from tests.support.models import small_onnx as small

RECIPE = """\
version: 1
project: small
models:
  net:
    source: {onnx: model.onnx}
    inputs:
      x: {shape: [N, 3], dims: {N: {min: 1, max: 8, example: 2}}}
      ids: {shape: [N, T], dtype: int64, range: [0, 7], dims: {T: {min: 1, max: 12, example: 5}}}
    outputs: {y: {labels: [a, b, c, d]}, positive: {}}
    samples: {random: normal, count: 6}
targets:
  server:
    - {format: service, options: {max_batch: 4}}
    - {format: triton}
"""


@pytest.mark.toolchain
def test_a_service_is_verified_and_a_repository_checked(tmp_path: Path) -> None:
    small.write(tmp_path / "project")
    (tmp_path / "project" / "deploy.yaml").write_text(RECIPE)
    project = Project(tmp_path / "project", tmp_path / "store")
    built = project.build()
    assert built.code == 0, built.stdout + built.stderr
    service, triton = "server/net.service", "server/net.triton"
    assert built.statuses() == {service: "verified", triton: "checked"}
    told = project.report()
    assert told[service]["measurement"]["runtime"].startswith("uvicorn ")
    assert told[triton]["measurement"]["runtime"].startswith("onnxruntime ")
    assert told[triton]["reason"].startswith("Triton itself was not run.")
    folder = project.folder / "artifacts" / "server"
    model = (folder / "net.triton" / "net" / "1" / "model.onnx").read_bytes()
    assert (folder / "net.service" / "model" / "model.onnx").read_bytes() == model
    record = json.loads((folder / "net.service" / "io.json").read_text())
    assert record["outputs"][0]["labels"] == ["a", "b", "c", "d"]
    assert record["model"]["release"] is None
    assert project.build().ran() == Counter()
