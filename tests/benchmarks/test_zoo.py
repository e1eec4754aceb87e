"""The zoo is alive, and its table says what was found."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import buildsys
from benchmarks.zoo import coverage, project, two_parts
from benchmarks.zoo.__main__ import main, other_routes
from benchmarks.zoo.architectures import ARCHITECTURES
from buildsys.engine.executors import Failed
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.engine.session import (
    CACHE_VARIABLE,
    TOOLCHAINS_VARIABLE,
    cache_root,
    toolchains_root,
)
from buildsys.figures.measurement import Measurement
from buildsys.planner.catalog import Catalog, load_built_in
from tests.support import toolchain

RECORD: dict[str, Any] = json.loads(coverage.RESULTS.read_text())
HALF = {"coreml float16"}
CAUSES = ("rejected", "failed", "unverified", "checked", "blocked")


NO_EFFECT = re.compile(r"\.(k_proj|k_lin|key)\.bias$|masked_spec_embed$|mask_token$")
"""A softmax takes no notice of what all of its numbers have in common; masks are drawn in training only."""


@pytest.mark.toolchain
@pytest.mark.parametrize("requirements", [None, "transformers.txt"])
def test_every_architecture_is_alive(requirements: str | None) -> None:
    probe = Path(__file__).with_name("zoo_probe.py")
    python = (
        toolchain.python_of(project.HERE / requirements)
        if requirements
        else toolchain.python("torch")
    )
    done = subprocess.run(
        [python, "-s", "-P", probe, *([requirements] if requirements else [])],
        env={"PATH": os.defpath, "PYTHONPATH": str(coverage.REPOSITORY), "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    looked = json.loads(done.stdout)
    assert list(looked) == [n for n, a in ARCHITECTURES.items() if a.requirements == requirements]
    for name, seen in looked.items():
        assert 300 <= seen["parameters"] <= 100_000, name
        assert not seen["training"], name
        assert seen["outputs"] == len(ARCHITECTURES[name].outputs), name
        assert min(seen["varies"]) > 0.01, f"{name}: an output hardly varies over inputs"
        assert seen["copies"] == 0, f"{name}: two tensors of weights are equal"
        dead = {
            path: moved
            for path, moved in seen["moves"].items()
            if not moved > (1e-4 if requirements else 1e-3) and not NO_EFFECT.search(path)
        }
        assert not dead, f"{name}: these weights move no output: {dead}"


@pytest.mark.toolchain
def test_the_tool_builds_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOOLCHAINS_VARIABLE, str(toolchains_root(cache_root())))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "store"))
    monkeypatch.setattr(coverage, "RESULTS", tmp_path / "zoo.json")
    monkeypatch.setattr(coverage, "DOCUMENT", tmp_path / "coverage.md")
    assert main(["--model", "gcn", "--format", "torchscript"]) == 0
    record = json.loads((tmp_path / "zoo.json").read_text())
    assert record["cells"]["gcn"]["torchscript"]["status"] == "verified"
    assert "| torchscript | 1 | 1 | 100.0 % | torch" in (tmp_path / "coverage.md").read_text()


def verdict(model: str, format_name: str, status: Status, **more: Any) -> Verdict:
    quantized = SimpleNamespace(scheme=None)
    wanted: Any = SimpleNamespace(model=model, format=format_name, quantized=quantized)
    return Verdict(wanted, status, **more)


def test_a_partial_run_changes_its_own_cells_only() -> None:
    counts = {"nan_count": 0, "inf_count": 0, "nonfinite_mismatch": 0}
    figures = {"signal_error": 1.234e-7, **counts, "shape_match": True, "dtype_match": True}
    measured = Measurement.of({"runtime": "ort 1", "outputs": {"y": figures}})
    first = coverage.updated(
        {},
        [
            verdict("vgg", "onnx", Status.VERIFIED, measurement=measured),
            verdict(
                "cnn", "onnx", Status.REJECTED, reason="max_abs is 1\nmore", measurement=measured
            ),
        ],
    )
    assert list(first["cells"]) == ["cnn", "vgg"]  # In the order of the zoo.
    assert first["cells"]["cnn"]["onnx"]["cause"] == "max_abs is 1"
    assert first["runtimes"] == {"onnx": "ort 1"}
    failure = Failed("no operator", "try another route\nor none")
    failed = verdict("cnn", "tflite", Status.FAILED, reason="no operator", failure=failure)
    both = coverage.updated(first, [failed])
    assert both["cells"]["vgg"] == first["cells"]["vgg"]
    assert both["cells"]["cnn"]["onnx"] == first["cells"]["cnn"]["onnx"]
    assert both["cells"]["cnn"]["tflite"] == {
        "status": "failed",
        "cause": "no operator",
        "way_out": "try another route",
    }
    (entry,) = other_routes([failed], Catalog.load(load_built_in()))
    assert entry == {"format": "tflite", "route": "onnx", "models": ["cnn"], "name": "onnx"}
    rerouted = [("onnx", verdict("cnn", "tflite", Status.VERIFIED, measurement=measured))]
    again = coverage.updated(first, [failed], rerouted)
    assert again["cells"]["cnn"]["tflite"]["routes"]["onnx"]["status"] == "verified"
    assert again["cells"]["cnn"]["tflite"]["status"] == "failed"  # It was not asked for that way.
    assert "Way out: try another route. By `route: onnx`: verified." in coverage.document(again)
    assert "tflite" not in first["cells"]["cnn"]
    assert coverage.missing(both) == [
        "1 of 3 cells are verified over torchscript, exported, onnx, ort, tflite, openvino: below 95%"
    ]
    shown = coverage.document(both)
    assert "| onnx | 1 | 2 | 50.0 % | ort 1 |" in shown
    assert "- **onnx**, cnn: rejected. max\\_abs is 1." in shown
    assert "- **tflite**, cnn: failed. no operator. Way out: try another route." in shown


def test_the_project_of_the_zoo_is_a_valid_recipe(tmp_path: Path) -> None:
    formats = Catalog.load(load_built_in()).deployable_formats()
    entries = [{"format": name} for name in formats]
    recipe = buildsys.load(project.write(tmp_path, ARCHITECTURES, entries))
    assert list(recipe.spec.models) == list(ARCHITECTURES)
    for name, architecture in ARCHITECTURES.items():
        code = (tmp_path / project.PACKAGE / f"{architecture.family}.py").read_text()
        assert f"\ndef {name}() -> nn.Module:" in code


def test_a_cause_that_most_share_names_the_others() -> None:
    told = [verdict(n, "coreml", Status.UNVERIFIED, reason="no Mac") for n in ARCHITECTURES]
    failed = verdict("gcn", "coreml", Status.FAILED, reason="no operator `x`")
    shown = coverage.document(coverage.updated({}, [*told, failed]))
    assert "- **coreml**, all but gcn: unverified. no Mac." in shown
    assert "- **coreml**, gcn: failed. no operator `x`." in shown


def cells() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for model, row in RECORD["cells"].items():
        for format_name, found in row.items():
            yield model, format_name, found


def test_the_document_is_made_of_the_results() -> None:
    first, _ = two_parts.parts(coverage.DOCUMENT.read_text())
    assert first == coverage.document(RECORD)


def test_every_column_is_whole_and_those_that_count_are_there() -> None:
    assert list(RECORD["cells"]) == list(ARCHITECTURES)
    known = set(Catalog.load(load_built_in()).deployable_formats())
    columns = set(coverage.formats_of(RECORD))
    least = {name for names in coverage.LEAST for name in names}
    assert least <= columns
    assert {name.partition(" ")[0] for name in columns} <= known
    for model, row in RECORD["cells"].items():
        wanted = coverage.TRANSFORMERS if ARCHITECTURES[model].requirements else columns - HALF
        assert set(row) == set(wanted), model


def test_every_cell_that_is_not_verified_says_why() -> None:
    for model, format_name, found in cells():
        where = f"{model} as {format_name}"
        assert found["status"] in ("verified", *CAUSES), where
        if found["status"] == "verified":
            assert found["signal_error"] <= 1e-3, where
        else:
            assert len(found["cause"]) > 20, where
    # Whatever is rejected or failed stands in the document by name.
    shown, _ = two_parts.parts(coverage.DOCUMENT.read_text())
    for model, format_name, found in cells():
        if found["status"] in ("rejected", "failed"):
            (line,) = (x for x in shown.splitlines() if x.startswith(f"| {model} |"))
            assert f"**{found['status']}**" in line, f"{model} as {format_name}"


def test_as_many_cells_are_verified_as_must_be() -> None:
    assert coverage.missing(RECORD) == []
