"""Each step is made again, and a step that gives other bytes is found, and no other is blamed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from buildsys.backends.base import Normaliser, Rule
from buildsys.diagnosis.rebuilding import Held, Rebuilt, rebuild
from buildsys.engine.events import ActionFinished, Event
from buildsys.engine.run import Settings
from buildsys.planner.catalog import Catalog
from tests.cli.inside import Inside
from tests.fakes.numeric.rules import backend
from tests.space import Space


def rules(name: str, **fields: object) -> tuple[Rule, ...]:
    return tuple(replace(r, **fields) if r.name == name else r for r in backend.rules)  # type: ignore[arg-type]


def change(space: Space, worker: str, normal: bool = False, reproducible: bool = True) -> None:
    """Has `onnx.export` done by another worker, and maybe something that normalises what it gives."""
    formats = tuple(
        replace(f, normaliser=Normaliser("host", "worker:normalise"))
        if normal and f.name == "onnx"
        else f
        for f in backend.formats
    )
    changed = rules("onnx.export", worker=worker, reproducible=reproducible)
    space.catalog = Catalog.load([replace(backend, rules=changed, formats=formats)])


def again(space: Space, *selectors: str) -> Rebuilt:
    with space.session() as session:
        return rebuild(session, selectors, settings=Settings(jobs=2, timeout=60))


def held(found: Rebuilt) -> dict[str, Held]:
    return {step.rule: step.held for step in found.steps}


def test_what_claims_to_be_reproducible_is(space: Space) -> None:
    found = again(space)
    assert found.exit == 0
    measuring = {"torch.reference", "onnx.run", "tflite.run", "verify.measure"}
    for rule, what in held(found).items():
        assert what is (Held.NORMALISED if rule in measuring else Held.BYTES), rule
    for step in found.steps:
        for output in step.outputs:
            assert (output.before == output.now) == (output.held is Held.BYTES)
            if output.held is Held.NORMALISED:
                assert output.reason == "without `latency_ms`, `peak_rss_bytes`"


def test_nothing_is_taken_from_the_store_and_nothing_is_left(
    space: Space, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    build = space.build("android")
    before = space.artifacts()
    events: list[Event] = []
    with space.session() as session:
        found = rebuild(session, ["android"], listener=events.append)
    ran = [e.action.rule for e in events if isinstance(e, ActionFinished) and not e.cached]
    assert sorted(ran) == sorted(build.graph.actions[n].rule for n in build.run.executed)
    assert len(found.steps) == len(build.graph.actions)
    assert space.artifacts() == before
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("worker", ["worker:convert_dated", "worker:convert_seeded"])
def test_a_step_that_gives_other_bytes_is_found(space: Space, worker: str) -> None:
    change(space, worker)
    found = again(space, "android/m.tflite")
    assert found.exit == 3
    assert held(found)["onnx.export"] is Held.DIFFERS
    (step,) = [step for step in found.steps if step.rule == "onnx.export"]
    assert [(o.name, o.held) for o in step.outputs] == [
        ("artifact", Held.DIFFERS),
        ("io", Held.BYTES),
    ]
    # The next step got other inputs, and gave the same: it holds.
    (below,) = [step for step in found.steps if step.rule == "tflite.convert"]
    assert below.held is Held.BYTES
    assert below.inputs == ("inputs.artifact",)


def test_a_step_below_is_not_blamed(space: Space) -> None:
    changed = rules("onnx.export", worker="worker:convert_dated")
    space.catalog = Catalog.load([replace(backend, rules=changed)])
    # A package holds what it is made from, byte for byte.
    changed = tuple(
        replace(r, takes=("onnx",)) if r.name == "coreml.convert" else r for r in changed
    )
    space.catalog = Catalog.load([replace(backend, rules=changed)])
    found = again(space, "ios/m.coreml")
    assert held(found)["onnx.export"] is Held.DIFFERS
    (below,) = [step for step in found.steps if step.rule == "coreml.convert"]
    assert below.held is Held.INPUTS
    assert below.inputs == ("inputs.artifact",)


def test_bytes_that_mean_the_same_hold_once_they_are_normalised(space: Space) -> None:
    change(space, "worker:convert_dated", normal=True)
    found = again(space, "ios/m.onnx")
    assert found.exit == 0
    assert held(found)["onnx.export"] is Held.NORMALISED


def test_a_step_that_says_so_may_give_other_bytes(space: Space) -> None:
    change(space, "worker:convert_dated", reproducible=False)
    found = again(space, "ios/m.onnx")
    assert found.exit == 0
    assert held(found)["onnx.export"] is Held.DECLARED


def test_a_step_that_fails_the_second_time_gives_status_1(space: Space) -> None:
    space.write(
        "model.py",
        "import os\n\n\ndef build(scale):\n"
        "    if os.environ['PYTHONHASHSEED'] == '0':\n"
        "        return [[1.0, 2.0], [0.5, 3.0], [2.0, 1.0]]\n"
        "    return 'fail'\n",
    )
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    found = again(space, "ios/m.onnx")
    assert found.exit == 1
    assert held(found)["torch.capture"] is Held.FAILED
    assert held(found)["onnx.export"] is Held.SKIPPED
    (step,) = [step for step in found.steps if step.rule == "torch.capture"]
    assert step.reason == "the factory asked to fail"


def test_what_this_machine_cannot_make_is_said(space: Space) -> None:
    changed = rules("coreml.convert", available=lambda: "needs a Mac")
    space.catalog = Catalog.load([replace(backend, rules=changed)])
    found = again(space, "ios")
    assert found.exit == 0
    (step,) = [step for step in found.steps if step.rule == "coreml.convert"]
    assert (step.held, step.reason) == (
        Held.SKIPPED,
        "there is nothing to compare with: needs a Mac",
    )


def test_the_command(
    space: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change(space, "worker:convert_dated")
    modelbuild = Inside(space, monkeypatch, capsys)
    said = modelbuild("verify", "--rebuild", "ios/m.onnx", "-q")
    assert said.code == 3
    assert "ios/m.onnx#onnx.export: model.plain: DIFFERS" in said.out
    assert "1 differs" in said.out
    record = modelbuild("verify", "--rebuild", "ios/m.onnx", "--json").json()
    assert record["version"] == 1
    assert record["exit"] == 3
    assert record["summary"]["differs"] == 1
    (step,) = [step for step in record["steps"] if step["held"] == "differs"]
    assert step["deployables"] == ["ios/m.onnx"]
    assert modelbuild("verify", "--rebuild", "nonsense").code == 4
