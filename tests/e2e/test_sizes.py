"""Dynamic sizes, nested outputs, integer inputs, no batch axis, an operator that nobody knows: one build."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.project import Project, Result

HERE = Path(__file__).parent / "sizes"
pytestmark = pytest.mark.toolchain
Built = tuple[Project, Result]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("sizes")
    shutil.copytree(HERE, root / "sizes", ignore=shutil.ignore_patterns("__pycache__"))
    project = Project(root / "sizes", root / "store")
    return project, project.run("build", "--keep-going")


@pytest.fixture(scope="module")
def report(built: Built) -> dict[str, dict[str, Any]]:
    return built[0].report()


def test_what_can_be_built_is_verified(built: Built, report: dict[str, dict[str, Any]]) -> None:
    assert built[1].code == 1  # For what cannot be.
    assert {label: row["status"] for label, row in report.items()} == {
        "server/reader.onnx": "verified",
        "server/lone.onnx": "verified",
        "server/short.onnx": "failed",
        "server/reader.exported": "verified",
        "server/lone.exported": "verified",
        "server/exotic.onnx-refused": "failed",
        "android/reader.tflite": "verified",
        "android/lone.tflite": "verified",
        "android/exotic.tflite": "failed",
        "ios/exotic.coreml": "failed",
    }, built[1].stdout


def test_the_example_and_both_ends_are_measured(report: dict[str, dict[str, Any]]) -> None:
    for label in ("server/reader.onnx", "server/reader.exported"):
        extremes = report[label]["measurement"]["extremes"]
        assert [extreme["at"] for extreme in extremes] == [
            {"N": 1, "T": 10},
            {"N": 1, "T": 2},
            {"N": 8, "T": 24},
        ]
        assert extremes[2]["outputs"]["states"]["shape"] == [2, 8, 24, 8]
        assert extremes[2]["outputs"]["pooled"]["shape"] == [2, 8, 8]
    assert "extremes" not in report["android/reader.tflite"]["measurement"]  # Its sizes are fixed.
    assert "extremes" not in report["server/lone.onnx"]["measurement"]  # Nothing varies.


def test_nested_outputs_have_names_and_their_origin_is_told(
    report: dict[str, dict[str, Any]],
) -> None:
    outputs = ["start", "first_end", "last_end", "states", "pooled"]
    told = (
        "of what the model returns, `start` is `['heads'].start`, `first_end` is "
        "`['heads'].ends[0]`, `last_end` is `['heads'].ends[1]`, `states` is `['states'][0]`, "
        "`pooled` is `['states'][1]['pooled']`"
    )
    for label in ("server/reader.onnx", "server/reader.exported", "android/reader.tflite"):
        assert [port["name"] for port in report[label]["io"]["outputs"]] == outputs
        assert told in report[label]["notes"]
    inputs = report["android/reader.tflite"]["io"]["inputs"]
    assert [(p["name"], p["dtype"], p["shape"]) for p in inputs] == [
        ("tokens", "int32", [1, 10]),
        ("kinds", "int32", [1, 10]),
        ("mask", "int32", [1, 10]),
    ]
    shapes = {p["name"]: p["shape"] for p in report["server/lone.onnx"]["io"]["outputs"]}
    assert shapes == {"mean": [6], "all": [7, 6], "loudest": []}


def test_an_original_that_does_not_take_a_declared_size_is_the_recipe_s_fault(built: Built) -> None:
    said = built[1].stdout
    assert (
        "error: torch.reference: the original model does not run at T = 24, which `dims` allow: "
    ) in said
    assert (
        "  --> deploy.yaml:28:28\n"
        "   |\n"
        "28 |           T: {min: 2, max: 24, example: 10}\n"
        "   |                            ^^\n"
    ) in said
    assert "hint: give `T` the sizes that the model takes" in said


def test_an_operator_that_nobody_knows(built: Built) -> None:
    """Named with its module, the formats that do without the step, and the place."""
    said = built[1].stdout
    for rule, message, others, place in (
        (
            "onnx.export",
            "ONNX has no counterpart for the operator `aten::special_bessel_j0` (in `stack.1`)",
            ("exported", "torchscript"),
            "40:16",
        ),
        (
            "tflite.convert",
            "litert-torch has no lowering for `aten.special_bessel_j0.default` (in `stack.1`)",
            ("exported", "torchscript"),
            "42:7",
        ),
        (
            "coreml.convert",
            "Core ML has no operator for `special_bessel_j0` in `stack.1`",
            ("exported", "torchscript"),
            "44:7",
        ),
    ):
        assert f"error: {rule}: {message}\n  --> deploy.yaml:{place}\n" in said
        (line,) = [
            x for x in said.splitlines() if x.startswith(f"formats that do not need {rule}: ")
        ]
        named = line.partition(": ")[2].split(", ")
        assert set(others) <= set(named)
        assert rule.partition(".")[0] not in named
