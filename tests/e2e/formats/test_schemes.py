"""Every scheme of every format that declares it, built and judged; nightly with each value of its fields."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.e2e.formats import schemes
from tests.e2e.formats.conftest import Built
from tests.e2e.project import Project
from tests.profile import NIGHTLY

pytestmark = pytest.mark.toolchain

DATA = {"digits": "train", "activity": "val"}
LONG = {"activity": {"executorch"}}
"""Formats that take minutes a scheme: ExecuTorch unrolls an LSTM. By day `digits` has these schemes."""
SMALL = ("onnx", "tflite", "openvino")


def left_out(name: str) -> set[str]:
    """Formats whose schemes a recipe does not have in this run."""
    return set() if NIGHTLY else LONG.get(name, set())


@pytest.fixture(scope="module")
def built(
    all_formats: Built, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """The reports of both recipes: each scheme once, and nightly `digits` with each value.

    Their float artifacts and references are those that building every format left in the store.
    """
    found = {}
    for name, dataset in DATA.items():
        project = Project.copy_of(name, tmp_path_factory.mktemp(name))
        project.store = all_formats[name][0].store
        path = project.folder / "deploy.yaml"
        tree = schemes.recipe(
            path.read_text(),
            dataset,
            all_values=NIGHTLY and name == "digits",
            without=left_out(name),
        )
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        result = project.build("-k")
        assert result.code in (0, 1, 3), result.stderr
        found[name] = project.report()
    return found


@pytest.mark.parametrize("recipe", DATA)
def test_all_that_is_declared_is_built_run_and_holds(
    built: dict[str, dict[str, Any]], recipe: str
) -> None:
    wrong = {
        label: (entry["status"], entry["reason"])
        for label, entry in built[recipe].items()
        if entry["status"] not in ("verified", "checked") and entry["format"] != "mlmodel"
    }
    assert wrong == {}


def test_no_scheme_is_left_out(built: dict[str, dict[str, Any]]) -> None:
    every = {(each.name, s.name) for each in schemes.formats() for s in each.schemes}
    for recipe in DATA:
        declared = {(name, scheme) for name, scheme in every if name not in left_out(recipe)}
        made = {(e["format"], e["scheme"]) for e in built[recipe].values() if e["scheme"]}
        assert made == declared


def test_what_nothing_runs_is_built_and_says_so(built: dict[str, dict[str, Any]]) -> None:
    for report in built.values():
        statuses = {e["status"] for e in report.values() if e["format"] == "mlmodel"}
        assert statuses == {"unverified"}


def test_quantized_files_are_smaller(built: dict[str, dict[str, Any]]) -> None:
    """Those of `digits`: `activity` is a layer of LSTM, which most libraries leave alone."""
    for label, entry in built["digits"].items():
        # Most of these is a runtime, and the text of a program.
        if entry["scheme"] and entry["format"] not in ("onnx_web", "exported"):
            assert entry["size_ratio"] < 1, label


@pytest.mark.parametrize("format_name", SMALL)
def test_static_int8_of_digits_is_a_third_of_float(
    built: dict[str, dict[str, Any]], format_name: str
) -> None:
    entry = built["digits"][f"server/classifier.{format_name}-static0-{format_name}"]
    metric = entry["measurement"]["metric"]
    assert entry["size_ratio"] <= 0.35
    assert metric["reference"] - metric["value"] <= 0.01


def test_calibrated_ones_have_their_ranges_on_record(built: dict[str, dict[str, Any]]) -> None:
    for recipe in DATA:
        for label, entry in built[recipe].items():
            if entry["scheme"] == "static":
                assert entry["calibration"]["tensors"] > 0, label
                assert entry["calibration"]["runs"] > 0
