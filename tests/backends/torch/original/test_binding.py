"""Inputs go to the parameters of `forward` that they are named after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.contract import Contract
from tests.profile import by_day
from tests.support.harness import Result, factory, port, run_worker
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

MODEL = """
class Net(nn.Module):
    def forward(self, a, b, scale: float = 2.0):
        return {result}
def build():
    return Net()
"""
PLAIN = "a - scale * b"
NESTED = '{"y": a - scale * b}'
METHODS = ("trace", "script", "export")


def capture(folder: Path, names: list[str], method: str = "trace", result: str = PLAIN) -> Result:
    project = zoo.write(folder / "project", text=MODEL.replace("{result}", result))
    ports = [port(name, ["N", 2]) for name in names]
    worker = "worker:export" if method == "export" else "worker:capture"
    described = factory(ports, ["y"], method=method)
    return run_worker("torch", "torch", worker, options=described, project=project)


@pytest.mark.parametrize("result", [PLAIN, NESTED])
@pytest.mark.parametrize("method", by_day(METHODS))
def test_swapped_names_are_bound_by_name(tmp_path: Path, method: str, result: str) -> None:
    got = capture(tmp_path, ["b", "a"], method, result)
    assert [p.name for p in got.io.inputs] == ["b", "a"]
    assert got.notes == []
    assert _run(tmp_path, got, ["b", "a"], {"a": 10.0, "b": 1.0}) == 8.0


def test_the_original_is_bound_by_name(tmp_path: Path) -> None:
    project = zoo.write(tmp_path / "project", text=MODEL.replace("{result}", PLAIN))
    _feed(tmp_path, {"a": 10.0, "b": 1.0})
    got = run_worker(
        "torch",
        "torch",
        "original.reference:reference",
        inputs={"samples": tmp_path / "in.npz"},
        outputs={"samples": "out.npz", "run": "run.json"},
        options=factory(
            [port("b", ["N", 2]), port("a", ["N", 2])], ["y"], latency={"warmup": 1, "runs": 1}
        ),
        project=project,
    )
    assert (got.arrays()["y"] == 8.0).all()


def test_names_that_are_no_parameters_are_bound_by_position_and_said(tmp_path: Path) -> None:
    got = capture(tmp_path, ["left", "right"])
    assert _run(tmp_path, got, ["left", "right"], {"left": 10.0, "right": 1.0}) == 8.0
    assert got.notes == [
        "inputs are bound to the parameters of `forward` by position: `left` to `a`, `right` to `b`"
    ]


def test_names_that_contradict_their_positions_are_refused(tmp_path: Path) -> None:
    got = capture(tmp_path, ["b", "other"])
    assert got.field == "inputs"
    assert "`b` would be fed to `a`" in got.message


def test_a_name_at_its_own_position_may_stand_beside_others(tmp_path: Path) -> None:
    assert capture(tmp_path, ["a", "other"]).error is None


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    got = capture(tmp_path, ["a"])
    assert got.field == "inputs"
    assert "missing a required argument: 'b'" in got.message


def _feed(folder: Path, values: dict[str, float]) -> None:
    samples = {name: np.full((3, 2), value, np.float32) for name, value in values.items()}
    arrays.save(folder / "in.npz", samples)


def _run(folder: Path, got: Result, names: list[str], values: dict[str, float]) -> float:
    """The one value that the artifact gives for inputs of one value each."""
    assert [p.name for p in Contract.read(got.outputs["io"]).inputs] == names
    _feed(folder, values)
    run = run_worker(
        "torch",
        "kit",
        "run.measurement:run_artifact",
        inputs={"artifact": got.artifact, "io": got.outputs["io"], "samples": folder / "in.npz"},
        outputs={"samples": "out.npz", "run": "run.json"},
        options={
            "ports": [port(name, ["N", 2]) for name in names],
            "outputs": ["y"],
            "dynamic": True,
            "runtime_module": "torch.runtime",
            "latency": {"warmup": 1, "runs": 1},
        },
    )
    (value,) = np.unique(run.arrays()["y"])
    return float(value)
