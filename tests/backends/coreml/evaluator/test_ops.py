"""Every operation computes what its documentation says, each attribute of it included."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.backends.coreml.evaluator.case import Case
from tests.backends.coreml.evaluator.cases import CASES
from tests.support.harness import ROOT, interpreter

pytestmark = pytest.mark.toolchain

NOT_EVALUATED = {"_const_symbolic", "const", "conv_quantized"}
"""Constants are read, symbols never saved, and nothing writes the experimental convolution."""

OTHERWISE_FOLDED = {
    "cast": "an array's overflow wraps where a processor's conversion saturates",
    "concat": "interleave is passed over",
    "scatter_along_axis": "the mode is passed over, and the last of two updates taken",
    "topk": "k = -1 drops the last element",
}
"""Where coremltools folds constants otherwise than it documents the operation."""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What one process in the toolchain found in all cases."""
    process = subprocess.run(
        [str(interpreter("coreml")), "-W", "error", "-m", f"{__package__}.run_cases"],
        cwd=ROOT.parent,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT.parent), "HOME": os.devnull},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout)
    return result


@pytest.mark.parametrize("name", CASES)
def test_it_computes_what_is_documented(found: dict[str, Any], name: str) -> None:
    assert found["failures"].get(name) is None


def test_every_operation_and_attribute_has_a_case(found: dict[str, Any]) -> None:
    untested = [
        f"{operation}.{parameter}"
        for operation, parameters in found["parameters"].items()
        for parameter, default in parameters.items()
        if not any(_exercises(case, operation, parameter, default) for case in CASES.values())
    ]
    assert not untested


def test_every_mode_has_a_refusal(found: dict[str, Any]) -> None:
    """A word that nothing documents is an error, never the default."""
    words = {
        (operation, parameter)
        for operation, parameters in found["parameters"].items()
        for parameter, default in parameters.items()
        if default is not None and default.startswith("'")
    }
    refused = {
        (case.operation, parameter)
        for case in CASES.values()
        if isinstance(case.expected, str)
        for parameter in case.given
    }
    assert not words - refused


def test_all_of_coremltools_operations_are_known_with_all_their_inputs(
    found: dict[str, Any],
) -> None:
    inputs = found["inputs"]
    named = {name: sorted(found["parameters"][name]) for name in found["parameters"]}
    assert named == {name: inputs[name] for name in named}
    missing = {name for name in inputs if name not in found["registered"]}
    assert {name for name in missing if not name.startswith("constexpr_")} == NOT_EVALUATED


def test_coremltools_folds_constants_alike(found: dict[str, Any]) -> None:
    folded = found["folded"]
    assert len(folded) > 200
    apart = {name: why for name, why in folded.items() if why is not None}
    assert {CASES[name].operation for name in apart} == set(OTHERWISE_FOLDED)


def _exercises(case: Case, operation: str, parameter: str, default: str | None) -> bool:
    """Whether a case gives another value than the default, and expects a result or refusal."""
    if case.operation != operation or parameter not in case.given:
        return False
    return default is None or repr(case.given[parameter]) != default
