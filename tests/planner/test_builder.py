"""Drafted actions become a graph: equal ones are one action, in the order in which they were drafted."""

from __future__ import annotations

import pytest

from buildsys.backends.output import Output
from buildsys.planner.builder import GraphBuilder, placed
from buildsys.planner.drafts import Draft, DraftInput
from buildsys.planner.graph import OutputRef
from buildsys.planner.workers import host_worker

OUTPUTS = (Output("out", "out.bin"),)


def draft(slot: str, gain: int = 1, **inputs: DraftInput) -> Draft:
    return Draft("amplify", host_worker("m:f"), slot, None, OUTPUTS, inputs, {"gain": gain})


def test_only_what_an_output_needs_is_added_and_in_the_order_of_drafting() -> None:
    builder = GraphBuilder("p")
    first, unused, second = draft("a"), draft("b", 2), draft("c", 3)
    last = draft("d", one=second["out"], two=first["out"])
    builder.add([last["out"], None])
    assert list(builder.graph.actions) == ["a#amplify", "c#amplify", "d#amplify"]
    assert [action.number for action in builder.graph.actions.values()] == [0, 1, 2]
    assert builder.graph.actions["d#amplify"].inputs == {
        "one": OutputRef("c#amplify", "out"),
        "two": OutputRef("a#amplify", "out"),
    }
    builder.add([unused["out"]])
    assert list(builder.graph.actions)[-1] == "b#amplify"


def test_equal_steps_are_one_action_that_fills_both_places() -> None:
    builder = GraphBuilder("p")
    below = [draft(slot, 5, given=draft(slot)["out"]) for slot in ("a", "b")]
    builder.add(each["out"] for each in below)
    assert list(builder.graph.actions) == ["a#amplify", "a#amplify~2"]
    assert placed(below[0]["out"]) == placed(below[1]["out"]) == OutputRef("a#amplify~2", "out")
    assert builder.graph.actions["a#amplify"].slots == ["p:a#amplify", "p:b#amplify"]


def test_a_step_is_found_without_being_added() -> None:
    builder = GraphBuilder("p")
    builder.add([draft("a", 2, given=draft("a")["out"])["out"]])
    known = draft("z", 2, given=draft("y")["out"])
    assert builder.find(known["out"]) == OutputRef("a#amplify~2", "out")
    assert builder.find(draft("z", 3, given=draft("y")["out"])["out"]) is None
    assert builder.find(draft("z", 2, given=draft("y", 7)["out"])["out"]) is None
    assert len(builder.graph.actions) == 2
    assert builder.graph.actions["a#amplify"].slots == ["p:a#amplify"]


def test_what_was_not_added_has_no_place() -> None:
    with pytest.raises(ValueError, match="a#amplify is in no graph"):
        placed(draft("a")["out"])
