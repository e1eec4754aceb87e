"""Explanations: every action that runs has a cause, and the cause is what was edited."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from buildsys.engine.staleness.explain import NEW, SAME, Explanation, explanations
from buildsys.engine.staleness.walk import State
from tests.space import Space

Edit = Callable[[Space], None]


def why(space: Space, *selectors: str) -> list[Explanation]:
    with space.session() as session:
        graph = session.graph(selectors)
        walk = session.engine.walk(graph, session.project())
        return explanations(session.recipe, graph, walk)


def changes(explanation: Explanation) -> dict[str, list[str]]:
    """The changed fields by rule."""
    return {
        link.rule: [r.change.field for r in link.changes if r.change is not None]
        for link in explanation.chain
        if link.changes
    }


ORIGINALS = ("torch.capture", "torch.reference", "torch.floor")
EDITS: dict[str, tuple[Edit, dict[str, list[str]]]] = {
    "weights": (
        lambda s: s.edit("weights.safetensors", "1.1", "1.3"),
        {rule: ["inputs.checkpoint"] for rule in ORIGINALS},
    ),
    "the model's code": (
        lambda s: s.edit("helper.py", "1.1", "1.3"),
        {rule: ["discovered.helper.py"] for rule in ORIGINALS},
    ),
    "an argument": (
        lambda s: s.edit("deploy.yaml", "scale: 1.0", "scale: 2.0"),
        {rule: ["options.source.args.scale"] for rule in ORIGINALS},
    ),
    "the number of samples": (
        lambda s: s.edit("deploy.yaml", "count: 8", "count: 9"),
        {"data.sample": ["options.count"]},
    ),
    "a dimension": (
        lambda s: s.edit("deploy.yaml", "max: 8", "max: 9"),
        {
            rule: ["options.ports.x.dims.N.max"]
            for rule in (
                *ORIGINALS,
                "data.sample",
                "onnx.export",
                "onnx.run",
            )
        },
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_the_roots_of_the_chain_are_what_was_edited(space: Space, edit: str) -> None:
    space.build()
    do, expected = EDITS[edit]
    do(space)
    (explanation,) = why(space, "ios/m.onnx")
    assert explanation.state == "stale"
    assert changes(explanation) == expected
    build = space.build("ios/m.onnx")
    explained = {link.action for link in explanation.chain}
    assert set(build.run.executed) <= explained
    # And afterwards: the last build is explained by the same fields.
    (past,) = why(space, "ios/m.onnx")
    assert past.state == "up to date"
    assert changes(past) == expected


def test_every_place_in_the_recipe_points_at_the_value(space: Space) -> None:
    space.build()
    space.edit("deploy.yaml", "scale: 1.0", "scale: 2.5")
    space.edit("deploy.yaml", "max: 8", "max: 77")
    space.edit("deploy.yaml", "count: 4", "count: 5")
    space.edit("deploy.yaml", "quantization: half, accept", "quantization: int8, accept")
    space.edit("weights.safetensors", "1.1", "1.3")
    text = (space.project / "deploy.yaml").read_text().splitlines()
    found = {}
    for explanation in why(space):
        for link in explanation.chain:
            for reason in link.changes:
                assert reason.change is not None
                place = reason.place
                if place is not None:
                    found[reason.change.field] = text[place.line - 1][place.column - 1 :]
    assert found["options.source.args.scale"].startswith("2.5")
    assert found["options.ports.x.dims.N.max"].startswith("77")
    assert found["inputs.checkpoint"].startswith("weights.safetensors")


def test_each_action_is_told_once_from_the_deployable_to_the_cause(space: Space) -> None:
    space.build()
    space.edit("weights.safetensors", "1.1", "1.3")
    for explanation in why(space):
        names = [link.action for link in explanation.chain]
        assert len(names) == len(set(names))
        for number, link in enumerate(explanation.chain):
            assert all(names.index(cause) > number for cause in link.because)
            assert link.changes or link.because or link.text


def test_what_hangs_on_bytes_that_are_made_anew_is_not_sure(space: Space) -> None:
    space.build()
    space.edit("model.py", "def build", "# As it was.\n\n\ndef build")
    (explanation,) = why(space, "ios/m.onnx")
    states = {link.rule: link.state for link in explanation.chain}
    assert states["torch.capture"] is State.RUN
    assert states["onnx.export"] is State.MAYBE
    space.build()
    (past,) = why(space, "ios/m.onnx")
    texts = {link.rule: link.text for link in past.chain}
    assert texts["torch.capture"] == SAME


def test_an_input_that_is_another_one_already_is_traced_to_what_was_edited(space: Space) -> None:
    """Another deployable's build has run the step above; this one is still what it was."""
    space.build()
    space.edit("weights.safetensors", "1.1", "1.3")
    space.build("ios/m.coreml")
    (explanation,) = why(space, "ios/m.onnx")
    links = {link.rule: link for link in explanation.chain}
    assert [r.change.field for r in links["onnx.export"].changes if r.change] == [
        "inputs.artifact",
    ]
    assert links["onnx.export"].because == (links["torch.capture"].action,)
    assert links["torch.capture"].state is State.HIT
    assert changes(explanation)["torch.capture"] == ["inputs.checkpoint"]


def test_a_first_build_has_nothing_to_compare_with(space: Space) -> None:
    (explanation,) = why(space, "ios/m.onnx")
    assert {link.text for link in explanation.chain} == {NEW}
    space.build("ios/m.onnx")
    space.edit("deploy.yaml", "{format: tflite, accept: close}", "{format: onnx, accept: close}")
    assert why(space, "android/m.onnx")[0].state in ("stale", "up to date")


def test_what_this_machine_cannot_do_is_told_as_that(space: Space) -> None:

    with space.session() as session:
        graph = session.graph(["ios/m.onnx"])
        (deployable,) = graph.deployables
        graph.actions[deployable.artifact.action].unavailable = "needs an accelerator"
        walk = session.engine.walk(graph, session.project())
        (explanation,) = explanations(session.recipe, graph, walk)
    assert (explanation.state, explanation.blocked) == ("blocked", "needs an accelerator")
    assert [link.action for link in explanation.chain] == [deployable.artifact.action]
