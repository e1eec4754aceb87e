"""Apple's own tests of operators agree with the evaluator in Core ML's place.

They ship in coremltools' wheel, from where they are run: some 20,000 of the operators of ML programs, and
22,000 of torch's. `make test` runs a sample of a few files, `make test-nightly` all, and prints the table of
docs/coreml-operators.md. `MODELBUILD_APPLE=4000` runs the first 4,000 in the order of their names' digests.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests import sweeps
from tests.backends.coreml.apple import outcomes, sweep

pytestmark = pytest.mark.toolchain

WANTED = os.environ.get("MODELBUILD_APPLE")
FILES = (
    "iOS14/test_normalization.py",
    "iOS14/test_control_flow.py",
    "iOS15/test_image_resizing.py",
    "iOS17/test_linear.py",
    "iOS18/test_states.py",
)
"""Few enough to be collected in seconds; they hold what was wrong once."""
SAMPLE = 50
COLLECTED = 42_463
"""Tests of the pinned coremltools."""
EVALUATED = 0.74
"""The share of all that evaluates something: 0.776 in the first thousands of the order by digests."""


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What became of each test."""
    if WANTED is None:
        found = tmp_path_factory.mktemp("apple") / "records.jsonl"
        sweep.run(found, [f"{sweep.OPERATORS}/{file}" for file in FILES], SAMPLE)
        return sweeps.read(found)
    found = sweep.record()
    sweep.run(found, sweep.EVERYTHING, None if WANTED == "all" else int(WANTED))
    print(outcomes.table(sweeps.read(found)))
    return sweeps.read(found)


def test_what_does_not_agree_is_explained(records: list[dict[str, Any]]) -> None:
    assert outcomes.strays(records) == {}


def test_enough_agrees(records: list[dict[str, Any]]) -> None:
    evaluated = [each for each in records if each["predictions"]]
    if WANTED is None:
        assert len(evaluated) >= SAMPLE // 2
        return
    assert len(records) >= (COLLECTED if WANTED == "all" else int(WANTED))
    assert len(evaluated) >= EVALUATED * len(records)
    assert outcomes.share(records) >= outcomes.ENOUGH


def test_float32_is_compared_closely(records: list[dict[str, Any]]) -> None:
    """The tests compare something, and not at float16's bounds alone."""
    exact = [each for each in records if outcomes.kind(each) == "agrees" and not each["half"]]
    assert len(exact) >= SAMPLE // 8
    assert any(each["worst"] > 0 for each in exact)
