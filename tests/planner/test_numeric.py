"""Formats that compute none of the model's outputs, and options that make what nothing here runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from buildsys.backends.base import Runtime
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import ActionGraph
from tests.fakes.numeric.rules import backend
from tests.space import Space, statuses


def catalog(runtime: Runtime | None) -> Catalog:
    """The fakes, with `coreml` as a format that computes nothing."""
    formats = tuple(
        replace(f, numeric=False, runtime=runtime) if f.name == "coreml" else f
        for f in backend.formats
    )
    return Catalog.load([replace(backend, formats=formats)])


def graph(space: Space, *selectors: str) -> ActionGraph:
    with space.session() as session:
        return session.graph(selectors)


def rules(found: ActionGraph) -> set[str]:
    return {action.rule for action in found.actions.values()}


def test_a_format_that_nothing_runs_has_its_original_checked(space: Space) -> None:
    assert {"torch.reference", "verify.original"} <= rules(graph(space, "ios/m.coreml"))


@pytest.mark.parametrize("runtime", [None, Runtime("host", "runtime")])
def test_what_computes_nothing_is_not_compared(space: Space, runtime: Runtime | None) -> None:
    space.catalog = catalog(runtime)
    found = graph(space, "ios/m.coreml")
    assert rules(found) == {"torch.capture", "coreml.convert"}
    assert found.deployables[0].evidence.measurement is None
    assert found.deployables[0].evidence.unverified == "nothing runs a fake package"


def test_others_beside_it_are_compared(space: Space) -> None:
    space.catalog = catalog(None)
    found = graph(space, "ios")
    assert {"torch.reference", "onnx.run", "verify.measure"} <= rules(found)
    assert "verify.original" not in rules(found)
    (package,) = (d for d in found.deployables if d.format == "coreml")
    assert not {"torch.reference", "data.sample"} & {
        found.actions[name].rule for name in package.actions
    }


def test_it_is_unverified_and_built(space: Space) -> None:
    space.catalog = catalog(None)
    assert statuses(space.build("ios/m.coreml")) == {"ios/m.coreml": "unverified"}


def test_options_may_make_what_the_runtime_does_not_run(space: Space) -> None:
    """As ExecuTorch's delegate for Core ML: it is told apart by the options, and what it is told."""
    told: list[dict[str, object]] = []

    def unrun(options: Mapping[str, object]) -> str | None:
        told.append(dict(options))
        return "no phone is here"

    formats = tuple(replace(f, unrun=unrun) if f.name == "onnx" else f for f in backend.formats)
    space.catalog = Catalog.load([replace(backend, formats=formats)])
    found = graph(space, "ios/m.onnx")
    (deployable,) = found.deployables
    assert told == [deployable.options]
    assert deployable.evidence.unverified == "no phone is here"
    assert deployable.evidence.measurement is None
    assert "onnx.run" not in rules(found)
    # The original is run all the same: what a broken model is converted to is no deployable.
    assert {"torch.reference", "verify.original"} <= rules(found)
