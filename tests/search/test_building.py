"""A build searches once, writes what it finds, and is then as fixed as any other."""

from __future__ import annotations

import json

import pytest

from buildsys.engine.outcome.verdicts import Status
from buildsys.recipe import RecipeError
from tests.search.project import CANDIDATES, LABEL, SearchSpace
from tests.space import statuses


def test_the_smallest_that_is_good_enough_is_chosen_and_then_fixed(space: SearchSpace) -> None:
    planned = space.plan()
    (deployable,) = planned.deployables
    assert (deployable.sign, deployable.search, planned.has_work) == ("?", CANDIDATES, True)

    first = space.build()
    assert statuses(first) == {LABEL: "verified"}
    # Four bits are too few, and then so are four bits with a scale a tensor; eight bits are enough, and
    # what has as many cannot be much smaller.
    assert space.tried() == ["weight-only 4 bits", "w8"]
    lock = space.lock()
    assert (lock["profile"], lock["built"]) == ("w8", 2)
    assert "settings" not in lock
    by_name = {each["name"]: each for each in lock["candidates"]}
    assert len(by_name) == CANDIDATES
    assert by_name["w8"]["status"] == "passed"
    assert by_name["w8"]["error"] < 0.02 < by_name["weight-only 4 bits"]["error"]
    assert by_name["weight-only 4 bits"]["bytes"] < by_name["w8"]["bytes"] < lock["float_bytes"]
    assert by_name["weight-only 4 bits a tensor"]["reason"] == (
        "more aggressive than `weight-only 4 bits`, which errs too much"
    )
    assert by_name["float16"]["reason"] == "it cannot be much smaller than `w8`"
    assert set(space.stored()) == {8}

    again = space.build()
    assert (again.run.executed, space.tried()) == ([], [])
    planned = space.plan()
    assert (planned.has_work, planned.deployables[0].sign) == (False, "=")


def test_the_report_tells_what_was_chosen_from_what(space: SearchSpace) -> None:
    from buildsys.report.record import write_report

    write_report(space.build())
    folder = space.project / "artifacts"
    (entry,) = json.loads((folder / "report.json").read_text())["deployables"]
    assert (entry["quantization"], entry["scheme"]) == ("smallest", "weight-only")
    assert entry["search"]["profile"] == "w8"
    front = [each["name"] for each in entry["search"]["candidates"] if each.get("front")]
    assert front == ["weight-only 4 bits", "w8"]
    page = (folder / ".search" / f"{LABEL}.html").read_text()
    assert page.count("<circle") == 2
    # Out of the lock, the same is told.
    before = (folder / "report.json").read_bytes()
    write_report(space.build())
    assert (folder / "report.json").read_bytes() == before


def test_the_events_tell_of_the_search(space: SearchSpace) -> None:
    space.build()
    kinds = ("version", "search", "candidate", "chosen")
    told = [e.to_json() for e in space.events if e.name in kinds]
    assert [e["event"] for e in told] == ["version", "search", "candidate", "candidate", "chosen"]
    assert told[1]["subject_to"] == "good"
    assert len(told[1]["candidates"]) == CANDIDATES
    assert (told[-1]["profile"], told[-1]["passed"]) == ("w8", True)


def test_what_is_trained_again_keeps_its_choice_and_is_judged(space: SearchSpace) -> None:
    space.build()
    lock = (space.project / "deploy.lock.yaml").read_bytes()
    space.matrix(seed=5)
    built = space.build()
    assert space.tried() == []
    assert statuses(built) == {LABEL: "verified"}
    # Of these weights, eight bits make too little; the choice is not changed unasked.
    space.matrix(seed=5, loud=6)
    assert statuses(space.build()) == {LABEL: "rejected"}
    assert (space.project / "deploy.lock.yaml").read_bytes() == lock


def test_another_question_is_asked_anew(space: SearchSpace) -> None:
    space.build()
    space.bound(0.5)
    assert space.plan().deployables[0].search == CANDIDATES
    with pytest.raises(RecipeError) as caught:
        space.build(locked=True)
    (finding,) = caught.value.diagnostics
    assert "answers another question" in finding.message
    assert finding.position is not None
    assert finding.position.file.name == "deploy.lock.yaml"
    space.build()
    assert space.lock()["profile"] == "weight-only 4 bits"
    # What was built for the first question is not built again.
    assert space.tried() == ["weight-only 4 bits"]
    assert not [e for e in space.events if e.name == "action_started"]
    assert set(space.stored()) == {4}


def test_what_is_chosen_is_asked_anew_only_when_told(space: SearchSpace) -> None:
    space.build()
    before = space.lock()
    space.build(again=True)
    assert space.tried() == ["weight-only 4 bits", "w8"]
    assert space.lock() == before


def test_what_the_question_holds_and_what_it_does_not(space: SearchSpace) -> None:
    space.build()
    asked = space.lock()["asked"]
    for before, after in [
        ("bits: 8}", "bits: 8, per_channel: true}"),  # The default, written out.
        ("[w8, float16,", "[ w8 , float16,"),
        ("environment: host", "environment: host\n    capture: trace"),
    ]:
        text = space.text()
        space.edit("deploy.yaml", before, after)
        assert space.plan().deployables[0].search is None, after
        space.write("deploy.yaml", text)
    for before, after in [
        ("bits: 8}", "bits: 8, per_channel: false}"),
        ("[w8, float16,", "[w8,"),
        ("count: 16", "count: 8"),
        ("subject_to: good", "subject_to: good\n      minimize: latency"),
    ]:
        text = space.text()
        space.edit("deploy.yaml", before, after)
        assert space.plan().deployables[0].search is not None, after
        space.write("deploy.yaml", text)
    assert space.lock()["asked"] == asked


def test_the_fastest_is_found_by_runs_in_turns_with_the_float_artifact(space: SearchSpace) -> None:
    space.edit("deploy.yaml", "subject_to: good", "subject_to: good\n      minimize: latency")
    space.edit("deploy.yaml", "[w8, float16, weight-only, dynamic, static]", "[w8, dynamic]")
    built = space.build()
    assert statuses(built) == {LABEL: "verified"}
    told = {each["name"]: each for each in space.lock()["candidates"]}
    times = {name: each["latency_ratio"] for name, each in told.items() if "latency_ratio" in each}
    assert set(times) == set(space.tried()) >= {"w8", "dynamic"}
    passed = {name for name in times if told[name]["status"] == "passed"}
    assert space.lock()["profile"] == min(passed, key=lambda name: times[name])
    assert space.build().run.executed == []


def test_layers_that_are_hurt_most_stay_float_where_nothing_passes(space: SearchSpace) -> None:
    space.matrix(loud=3)
    space.bound(0.01)
    space.edit("deploy.yaml", "[w8, float16, weight-only, dynamic, static]", "[w8, dynamic]")
    built = space.build()
    assert statuses(built) == {LABEL: "verified"}
    lock = space.lock()
    assert lock["profile"] == "w8 with 3 layers in float"
    assert sorted(lock["settings"]["keep_float"]) == ["column0", "column1", "column2"]
    assert space.stored() == [32] * 3 + [8] * 9
    assert space.tried()[0] == "w8"
    assert len(space.tried()) <= 6
    # The settings stand in the lock itself.
    assert space.build().run.executed == []


def test_something_smaller_that_nearly_passes_may_with_layers_in_float(space: SearchSpace) -> None:
    # Four bits err 0.08, of which most is the one column's.
    space.bound(0.06)
    space.matrix(loud=1)
    built = space.build()
    assert statuses(built) == {LABEL: "verified"}
    lock = space.lock()
    assert lock["profile"] == "weight-only 4 bits with 1 layer in float"
    assert space.stored() == [32] + [4] * 11


def test_what_came_nearest_is_rejected_where_nothing_passes(space: SearchSpace) -> None:
    space.bound(1e-9)
    built = space.build()
    (verdict,) = built.verdicts
    assert (verdict.status, built.exit) == (Status.REJECTED, 3)
    assert verdict.deployable.quantized.chosen == "smallest: float16 with 11 layers in float"
    assert not (space.project / "deploy.lock.yaml").exists()
    assert not list((space.project / "artifacts" / "edge").glob("*"))


def test_a_candidate_that_fails_is_noted_and_the_search_goes_on(space: SearchSpace) -> None:
    space.edit(
        "deploy.yaml",
        "  smallest:",
        "  broken: {scheme: static, activations: int16, calibration: {dataset: val, count: 4}}\n  smallest:",
    )
    space.edit("deploy.yaml", "[w8, float16, weight-only, dynamic, static]", "[broken, dynamic]")
    built = space.build()
    assert statuses(built) == {LABEL: "verified"}
    told = {each["name"]: each for each in space.lock()["candidates"]}
    assert told["broken"]["status"] == "failed"
    assert told["broken"]["reason"] == "packed.quantize: int16 was asked to fail"
    assert space.lock()["profile"] == "dynamic"


def test_a_model_that_cannot_be_built_fails_as_ever(space: SearchSpace) -> None:
    space.write("model.py", "def build():\n    raise OSError('no')\n")
    built = space.build()
    assert statuses(built) == {LABEL: "failed"}
    assert space.tried() == []


def test_a_lock_that_is_none_says_where_and_what_to_do(space: SearchSpace) -> None:
    space.build()
    right = (space.project / "deploy.lock.yaml").read_text()
    for before, after, message in [
        ("version: 1", "version: 2", "this program reads locks of version 1"),
        ("choices:", "chosen:", "the lock has no `choices`"),
        ("profile: w8", "profile: w9", "`w9` is not among the candidates of `smallest`"),
        ("profile: w8", "profil: w8", f"the choice for `{LABEL}` has no `profile`"),
        ("profile: w8", "profile: w8\n    settings: {scheme: tiny}", "are not a profile"),
        (
            "profile: w8",
            "profile: w8\n    settings: {scheme: static, calibration: {dataset: gone}}",
            "name the unknown dataset `gone`",
        ),
        ("built: 2", "built: [", ""),
        ("- {bytes", "- [bytes], {bytes", ""),
    ]:
        space.write("deploy.lock.yaml", right)
        space.edit("deploy.lock.yaml", before, after)
        with pytest.raises(RecipeError) as caught:
            space.session()
        finding = caught.value.diagnostics[0]
        assert message in finding.message
        assert finding.hint
        assert finding.position is not None
        assert finding.position.file == space.project / "deploy.lock.yaml"


def test_what_has_no_choice_is_not_taken_for_float(space: SearchSpace) -> None:
    with space.session() as session, pytest.raises(RecipeError) as caught:
        session.graph()
    (finding,) = caught.value.diagnostics
    assert finding.message == f"`{LABEL}` is not chosen yet: `smallest` is a search"
    assert finding.position is not None
    assert finding.position.line == 23
