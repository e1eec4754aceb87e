"""Each layer alone: one cached action, and what it costs."""

from __future__ import annotations

import json

import pytest

from buildsys.planner.verification.sensitivity import NoSensitivity
from buildsys.report.screens.sensitivity import print_sensitivity
from buildsys.search.sensitivity import sensitivity
from tests.search.project import COLUMNS, SearchSpace

LABEL = "edge/m.packed-w8"


@pytest.fixture
def plain(space: SearchSpace) -> SearchSpace:
    """The project with a profile in place of the search."""
    space.matrix(loud=2)
    space.edit(
        "deploy.yaml", "quantization: smallest}", "quantization: w8}\n    - {format: packed}"
    )
    return space


def test_the_layers_that_are_hurt_most_come_first(plain: SearchSpace) -> None:
    with plain.session() as session:
        found = sensitivity(session, LABEL)
    record = found.to_json()
    assert len(record["layers"]) == COLUMNS
    assert {layer["name"] for layer in record["layers"][:2]} == {"column0", "column1"}
    errors = [layer["error"] for layer in record["layers"]]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] > 10 * errors[2] > 0
    # A column of 256 rows in a byte each, with a scale.
    assert {layer["saved"] for layer in record["layers"]} == {256 * 3 - 4 + 1}
    assert "packed.sensitivity" in {found.graph.actions[name].rule for name in found.run.executed}
    with plain.session() as session:
        again = sensitivity(session, LABEL)
    assert (again.run.executed, again.to_json()) == ([], record)


def test_it_is_shown_with_bars(plain: SearchSpace, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    with plain.session() as session:
        record = sensitivity(session, LABEL).to_json()
    print_sensitivity(Console(width=120), record)
    shown = capsys.readouterr().out
    first = next(
        line for line in shown.splitlines() if line.startswith(record["layers"][0]["name"])
    )
    assert first.count("█") == 24
    assert json.dumps(record)


def test_what_has_no_profile_has_no_sensitivity(plain: SearchSpace) -> None:
    with plain.session() as session, pytest.raises(NoSensitivity) as caught:
        sensitivity(session, "edge/m.packed")
    assert "is not quantized" in caught.value.message
