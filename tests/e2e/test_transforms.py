"""The digits made smaller by one recipe: what pruning, teaching and rounding gain, and what runs again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import transforms
from tests.e2e.project import Project

pytestmark = pytest.mark.toolchain

RECIPE = ("-f", "slim.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, list[dict[str, Any]]]:
    """The recipe, interrupted in the second step of a pruning and then built; events of the first try."""
    project = Project.copy_of("digits", tmp_path_factory.mktemp("slim"))
    command = [sys.executable, "-m", "buildsys.cli", "build", "--json", *RECIPE, "server/slim.onnx"]
    environment = {**os.environ, "MODELBUILD_CACHE": str(project.store)}
    events = []
    with subprocess.Popen(
        command, cwd=project.folder, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            events.append(json.loads(line))
            if (events[-1].get("figures") or {}).get("step") == "2 of 2":
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
    assert process.returncode == 130
    result = project.build(*RECIPE)
    assert result.code == 0, result.stdout + result.stderr
    return project, events


def test_an_interrupted_pruning_is_taken_up(
    made: tuple[Project, list[dict[str, Any]]],
) -> None:
    project, events = made
    told = [e for e in events if e["event"] == "action_progress" and e["rule"] == "torch.prune"]
    assert {(e["id"], e["total"]) for e in told} == {("slim:1#torch.prune", 6)}
    assert all(e["figures"]["loss"] > 0 for e in told)
    assert "pruning was taken up after step 1" in project.report()["server/slim.onnx"]["notes"]
    assert list((project.store / "resume").iterdir()) == []


def test_what_transforms_gain(made: tuple[Project, list[dict[str, Any]]]) -> None:
    project, _ = made
    entries = project.report()
    assert {e["status"] for e in entries.values()} == {"verified"}
    whole, slim = (entries[transforms.LABELS[n]] for n in ("classifier", "slim"))
    assert slim["bytes"] < 0.7 * whole["bytes"]
    metric = slim["measurement"]["metric"]
    # Told against the model before, and beside what pruning has left of it.
    assert metric["reference"] == whole["measurement"]["metric"]["value"]
    assert metric["transformed"] == pytest.approx(metric["value"], abs=0.003)
    assert metric["drop"] <= 0.02
    alone, taught = (transforms.score(entries[transforms.LABELS[n]]) for n in ("alone", "taught"))
    assert taught > alone
    tiny, lost = (transforms.score(entries[transforms.LABELS[n]]) for n in ("tiny", "tiny q4"))
    assert tiny - lost > 0.02, "four bits cost nothing: there is nothing to recover"
    assert transforms.recovered(entries) >= 0.5


def test_an_edit_runs_what_lies_below_it(
    made: tuple[Project, list[dict[str, Any]]], tmp_path: Path
) -> None:
    project = made[0].fork(tmp_path)
    assert project.build(*RECIPE).started() == 0
    project.edit("slim.yaml", "args: {epochs: 6}}\n\nquant", "args: {epochs: 5}}\n\nquant")
    rules = {row["rule"]: row for row in project.plan(*RECIPE)["actions"] if row["state"] == "run"}
    assert list(rules) == ["torch.qat"]
    assert rules["torch.qat"]["why"][0]["field"] == "options.settings.train.args.epochs"
    labels = {
        row["deployable"] for row in project.plan(*RECIPE)["actions"] if row["state"] != "hit"
    }
    assert labels == {"server/rounded.onnx-q4"}
    project.edit("slim.yaml", "args: {epochs: 5}}\n\nquant", "args: {epochs: 6}}\n\nquant")
    with np.load(project.folder / "data" / "train.npz") as split:
        arrays = dict(split)
    arrays["y"][0] = (arrays["y"][0] + 1) % 10
    np.savez(project.folder / "data" / "train.npz", **arrays)
    assert "train.npz changed" in project.reasons(*RECIPE)
