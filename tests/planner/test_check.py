"""Packages around another artifact, and runtimes that this machine has no use of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from buildsys.backends.base import Check, Runtime
from buildsys.engine.checkup import abilities
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import ActionGraph
from buildsys.report.record import report
from tests.fakes.numeric.rules import backend
from tests.space import Space, statuses

PACKAGE = "ios/m.coreml"


def catalog(worker: str = "worker:package", takes: str = "onnx", **given: Any) -> Catalog:
    """The fakes, with `coreml` as a package around another artifact."""
    declared: dict[str, Any] = {"check": Check("host", "worker:check"), **given}
    formats = tuple(replace(f, **declared) if f.name == "coreml" else f for f in backend.formats)
    rules = tuple(
        replace(r, takes=(takes,), worker=worker) if r.gives == "coreml" else r
        for r in backend.rules
    )
    return Catalog.load([replace(backend, formats=formats, rules=rules)])


def graph(space: Space, *selectors: str) -> ActionGraph:
    with space.session() as session:
        return session.graph(selectors)


def test_a_package_is_judged_by_what_is_in_it_and_checked(space: Space) -> None:
    space.catalog = catalog()
    build = space.build("ios")
    assert statuses(build) == {"ios/m.onnx": "verified", PACKAGE: "checked"}
    plain, package = build.verdicts
    assert package.reason == "looked into, not run"
    assert package.measurement is not None
    assert plain.measurement is not None
    # By default bounds, it is measured what the model's own precision costs as well.
    assert package.measurement == plain.measurement
    assert [gate.passed for gate in package.gates]
    # What is in it is run once, for both.
    assert space.ran(build)["onnx.run"] == 1
    assert space.ran(build)["coreml.check"] == 1
    told = {row["label"]: row for row in report(build)["deployables"]}
    assert (told[PACKAGE]["status"], told[PACKAGE]["reason"]) == ("checked", package.reason)
    assert "ios/m.package/weights/weight.bin" in space.artifacts()


def test_alone_it_brings_what_measures_the_artifact_within(space: Space) -> None:
    space.catalog = catalog()
    found = graph(space, PACKAGE)
    rules = {found.actions[name].rule for name in found.deployables[0].actions}
    assert {"onnx.run", "verify.measure", "coreml.check"} <= rules
    assert "verify.original" not in rules


def test_a_package_that_fails_its_check_does_not_ship(space: Space) -> None:
    space.catalog = catalog("worker:package_another")
    build = space.build(PACKAGE)
    (verdict,) = build.verdicts
    assert str(verdict.status) == "failed"
    assert verdict.reason == "coreml.check: the package holds another model"
    assert not [name for name in space.artifacts() if name.startswith("ios/")]


def test_a_package_around_what_fails_its_gates_is_rejected(space: Space) -> None:
    space.catalog = catalog()
    space.edit("deploy.yaml", "{format: coreml}", "{format: coreml, accept: strict}")
    space.edit("deploy.yaml", "targets:\n", "  strict: {metric_drop: -1}\ntargets:\n")
    build = space.build(PACKAGE)
    assert statuses(build) == {PACKAGE: "rejected"}


def test_a_package_around_what_nothing_runs_is_unverified(space: Space) -> None:
    bare = tuple(
        replace(f, runtime=None, unverified="nobody runs it") if f.name == "onnx" else f
        for f in catalog().backends[0].formats
    )
    space.catalog = Catalog.load([replace(catalog().backends[0], formats=bare)])
    build = space.build(PACKAGE)
    (verdict,) = build.verdicts
    assert (str(verdict.status), verdict.reason) == ("unverified", "nothing runs a fake package")
    assert {"coreml.check", "verify.original"} <= set(space.ran(build))


def test_a_runtime_that_this_machine_has_no_use_of(space: Space) -> None:
    runtime = Runtime("host", available=lambda: "needs a turbine")
    space.catalog = catalog(takes="torchscript", check=None, runtime=runtime)
    build = space.build(PACKAGE)
    (verdict,) = build.verdicts
    assert (str(verdict.status), verdict.reason) == ("unverified", "needs a turbine")
    assert set(space.ran(build)) >= {"coreml.convert", "verify.original"}
    assert "coreml.run" not in space.ran(build)
    (told,) = [a for a in abilities(space.catalog, {}) if a.format == "coreml"]
    assert (told.cannot_make, told.cannot_run) == (None, "needs a turbine")


def test_a_runtime_that_it_has_is_used(space: Space) -> None:
    assert not Runtime("host").asks_machine
    runtime = Runtime("host", available=lambda: None, resources={"turbine": 1})
    assert runtime.asks_machine
    space.catalog = catalog(takes="torchscript", check=None, runtime=runtime)
    (run,) = [a for a in graph(space, PACKAGE).actions.values() if a.rule == "coreml.run"]
    assert run.resources == {"turbine": 1}


def test_what_a_check_said_is_made_again_where_it_was_lost(space: Space) -> None:
    space.catalog = catalog()
    build = space.build(PACKAGE)
    check = build.verdicts[0].deployable.evidence.check
    assert check is not None
    trace = build.run.trace(check.action)
    assert trace is not None
    with space.session() as session:
        session.engine.store.discard(trace.outputs["check"].digest)
    again = space.build(PACKAGE)
    assert space.ran(again)["coreml.check"] == 1
    assert again.verdicts[0].reason == "looked into, not run"
