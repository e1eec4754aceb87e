"""What of TensorRT needs no GPU: where it is blocked, what its keys cover, the shapes it takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.tensorrt import gpu, profiles, rules
from buildsys.backends.tensorrt.rules import backend
from buildsys.engine.results import Plan
from buildsys.planner.catalog import Catalog
from buildsys.recipe import RecipeError
from tests.fakes.numeric.rules import backend as fakes
from tests.space import Space, statuses

Tell = Callable[..., None]
LABEL = "server/m.tensorrt"
IN_TORCH = "server/m.torch_tensorrt"
BY_HAND = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64",
    reason="TensorRT is for Linux on x86_64",
)


@pytest.fixture
def tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Has `nvidia-smi` say something; without words there is none."""
    made = 0

    def say(text: str | None, status: int = 0) -> None:
        nonlocal made
        made += 1
        folder = tmp_path / f"bin-{made}"
        folder.mkdir()
        if text is not None:
            program = folder / "nvidia-smi"
            program.write_text(f"#!/bin/sh\necho '{text}'\nexit {status}\n")
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}")

    return say


@pytest.fixture
def project(space: Space) -> Space:
    """One engine to make of the fakes' ONNX."""
    space.edit("deploy.yaml", "targets:\n", "targets:\n  server:\n    - {format: tensorrt}\n")
    space.catalog = Catalog.load([fakes, backend])
    return space


@pytest.fixture
def in_torch(space: Space) -> Space:
    """One program of engines to make of the real formats."""
    space.edit("deploy.yaml", "targets:\n", "targets:\n  server:\n    - {format: torch_tensorrt}\n")
    space.catalog = Catalog.load()
    return space


def planned(plan: Plan) -> tuple[str, str | None]:
    (found,) = plan.deployables
    return found.sign, found.blocked


@BY_HAND
@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        (None, 0, "no driver of one is here: build it on a machine with an NVIDIA GPU"),
        ("No devices were found", 6, "`nvidia-smi` says `No devices were found`"),
        ("Tesla K80, 3.7, 470.82.01", 0, "from 525 on, and 470.82.01 is here: install a newer one"),
    ],
)
def test_without_a_gpu_it_is_blocked_and_told_why(
    project: Space, tell: Tell, said: str | None, status: int, reason: str
) -> None:
    tell(said, status)
    sign, blocked = planned(project.plan(LABEL))
    assert sign == "!"
    assert blocked is not None
    assert reason in blocked
    assert statuses(project.build(LABEL)) == {LABEL: "blocked"}


@BY_HAND
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (None, "no driver of one is here: build it on a machine with an NVIDIA GPU"),
        ("NVIDIA L4, 8.9, 575.57.08", "from 580 on, and 575.57.08 is here: install a newer one"),
    ],
)
def test_in_torch_it_is_blocked_and_told_why(
    in_torch: Space, tell: Tell, said: str | None, reason: str
) -> None:
    tell(said)
    sign, blocked = planned(in_torch.plan(IN_TORCH))
    assert sign == "!"
    assert blocked is not None
    assert reason in blocked


def test_elsewhere_it_is_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "pinned here for Linux on x86_64, not for darwin" in (gpu.unavailable() or "")
    assert gpu.described() == {}


@BY_HAND
@pytest.mark.parametrize(
    ("label", "rule"), [(LABEL, "tensorrt.build"), (IN_TORCH, "torch_tensorrt.compile")]
)
def test_the_key_covers_gpu_and_driver(
    request: pytest.FixtureRequest, tell: Tell, label: str, rule: str
) -> None:
    project: Space = request.getfixturevalue("project" if label == LABEL else "in_torch")
    seen = []
    for line in (
        "NVIDIA L4, 8.9, 580.65.06",
        "NVIDIA L4, 8.9, 580.65.07",
        "NVIDIA T4, 7.5, 580.65.06",
        "NVIDIA T4, 7.6, 580.65.06",
    ):
        tell(line + "\nNVIDIA A100, 8.0, 580.65.06")
        plan = project.plan(label)
        assert planned(plan)[1] is None
        (step,) = (a for a in plan.action_graph.actions.values() if a.rule == rule)
        assert step.resources == {"gpu": 1}
        seen.append(tuple(step.options["machine"].values()))
    assert seen[0] == ("NVIDIA L4", "8.9", "580.65.06")
    assert len(set(seen)) == 4


def test_a_report_says_that_bytes_differ(project: Space) -> None:
    (found,) = project.plan(LABEL).deployables
    assert found.deployable.route.reproducible is False
    assert all(replace(rule).asks_machine for rule in backend.rules)


PORTS: list[dict[str, Any]] = [
    {
        "name": "ids",
        "shape": ["N", "T", 3],
        "dims": {
            "N": {"min": 1, "max": 64, "example": 1},
            "T": {"min": 2, "max": 12, "example": 5},
        },
    }
]
CONTRACT = Contract([Port("ids", ["N", "T", 3], "int64")], [])


@pytest.mark.parametrize(
    ("wanted", "best"), [({}, (1, 5, 3)), ({"N": 16}, (16, 5, 3)), ({"N": 64, "T": 2}, (64, 2, 3))]
)
def test_profiles(wanted: dict[str, int], best: tuple[int, ...]) -> None:
    span = profiles.spans(CONTRACT, PORTS, wanted)["ids"]
    assert (span.least, span.best, span.most) == ((1, 2, 3), best, (64, 12, 3))


@pytest.mark.parametrize(
    ("wanted", "message", "hint"),
    [
        ({"NN": 2}, "no size `NN` varies in this model's inputs", "did you mean `N`?"),
        ({"Q": 2}, "no size `Q` varies in this model's inputs", "sizes that vary: `N`, `T`"),
        ({"T": 13}, "13 is outside of the range of `T`, 2 to 12", "widen `dims.T`"),
    ],
)
def test_sizes_to_optimize_for_are_checked(wanted: dict[str, int], message: str, hint: str) -> None:
    refusal = rules.refuses(PORTS, {"optimize_for": wanted})
    assert refusal is not None
    assert refusal.message == message
    assert hint in (refusal.hint or "")
    assert refusal.option == "optimize_for"


def test_sizes_in_range_are_not_refused() -> None:
    assert rules.refuses(PORTS, {"optimize_for": {"N": 64, "T": 2}}) is None


@pytest.mark.parametrize("name", ["tensorrt", "torch_tensorrt"])
def test_the_recipe_is_in_error_at_the_option(space: Space, name: str) -> None:
    space.catalog = Catalog.load()
    before = "- {format: onnx, accept: close}"
    space.edit("deploy.yaml", before, f"- {{format: {name}, options: {{optimize_for: {{M: 2}}}}}}")
    with pytest.raises(RecipeError) as caught:
        space.plan()
    (found,) = caught.value.diagnostics
    assert found.message == f"{name} of `m`: no size `M` varies in this model's inputs"
    assert found.hint == "sizes that vary: `N`"
    assert found.position is not None
    assert found.position.text[found.position.column - 1 :].startswith("{M: 2}")
