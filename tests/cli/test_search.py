"""What the command says of searches and of layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildsys.cli.answer import recalling
from tests.cli.inside import Inside
from tests.search.project import CANDIDATES, LABEL, SearchSpace


@pytest.fixture
def modelbuild(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Inside:
    space = SearchSpace(tmp_path / "project", tmp_path / "store")
    space.create()
    return Inside(space, monkeypatch, capsys)


def test_plan_build_and_report_tell_of_a_search(modelbuild: Inside) -> None:
    planned = modelbuild("plan", "--check")
    assert planned.code == 6
    assert f"? {LABEL}   a search will choose from {CANDIDATES} candidates, at most" in planned.out
    (deployable,) = modelbuild("plan", "--json").json()["deployables"]
    assert (deployable["sign"], deployable["search"]) == ("?", CANDIDATES)

    refused = modelbuild("build", "--locked")
    assert refused.code == 2
    assert f"`deploy.lock.yaml` has no choice for `{LABEL}`" in refused.err
    assert modelbuild("build", "--locked", "--search").code == 2

    built = modelbuild("build")
    assert built.code == 0
    assert "rejected  weight-only 4 bits: " in built.err
    assert f"{LABEL}: `smallest` chose `w8`" in built.out

    report = modelbuild("report")
    assert "w8  ← chosen" in report.out
    assert report.out.count("ruled out") == CANDIDATES - 2

    idle = modelbuild("build", "--json")
    assert [line["event"] for line in idle.lines()].count("candidate") == 0
    assert idle.lines()[-1]["summary"]["ran"] == 0
    assert modelbuild("plan", "--check").code == 0
    assert modelbuild("build", "--locked").code == 0

    events = modelbuild("build", "--search", "--json").lines()
    assert [e["name"] for e in events if e["event"] == "candidate"] == ["weight-only 4 bits", "w8"]


def test_an_edited_lock_is_no_answer_to_what_was_asked_before(modelbuild: Inside) -> None:
    modelbuild.until_answered("build")
    assert recalling.recall(["build"]) is not None
    space = modelbuild.space
    space.edit("deploy.lock.yaml", "profile: w8", "profile: w9")
    assert recalling.recall(["build"]) is None
    said = modelbuild("build")
    assert said.code == 2
    assert "`w9` is not among the candidates of `smallest`" in said.err
    assert "deploy.lock.yaml" in said.err


def test_layers_are_told_by_what_they_cost(modelbuild: Inside) -> None:
    asked = modelbuild("report", "--sensitivity", LABEL)
    assert asked.code == 2
    assert "is not chosen yet" in asked.err
    modelbuild("build")
    told = modelbuild("report", "--sensitivity", LABEL)
    assert told.code == 0
    assert f"{LABEL}: each layer alone by `w8`, all others in float" in told.out
    record = modelbuild("report", "--sensitivity", LABEL, "--json").json()
    assert (record["version"], record["profile"], len(record["layers"])) == (1, "w8", 12)
    assert modelbuild("report", "edge", "--sensitivity", LABEL).code == 2
    assert modelbuild("report", "--sensitivity", "edge/nothing").code == 4
