"""The states of actions: what follows from a move, and which moves are refused."""

from __future__ import annotations

import pytest

from buildsys.engine.scheduling.states import ALLOWED, DECIDED, ActionState, ActionTable
from buildsys.planner.graph import Action, FileInput, OutputRef, Worker

S = ActionState


def action(name: str, *above: str, environment: str | None = "torch") -> Action:
    inputs: dict[str, FileInput | OutputRef] = {each: OutputRef(each, "out") for each in above}
    return Action(name, "rule", Worker("", "", None, ()), environment, inputs, {}, ())


def table(*actions: Action) -> ActionTable:
    return ActionTable({each.id: each for each in actions}, ())


def state(actions: ActionTable, name: str) -> ActionState:
    return actions[name].state


def drain(actions: ActionTable) -> list[str]:
    found = []
    while (node := actions.next_ready()) is not None:
        found.append(node.id)
    return found


def run(actions: ActionTable, name: str, end: ActionState = S.DONE) -> None:
    for state in (S.QUEUED, S.RUNNING, end):
        actions.move(actions[name], state)


def test_an_action_is_ready_when_all_above_it_is_decided() -> None:
    actions = table(action("a"), action("b"), action("c", "a", "b"))
    assert drain(actions) == ["a", "b"]
    run(actions, "a")
    assert state(actions, "c") is S.WAITING
    assert drain(actions) == []
    run(actions, "b", S.FAILED)
    assert state(actions, "c") is S.READY
    assert drain(actions) == ["c"]


def test_an_action_that_takes_two_outputs_of_one_waits_for_it_once() -> None:
    both = Action(
        "b",
        "rule",
        Worker("", "", None, ()),
        None,
        {"x": OutputRef("a", "one"), "y": OutputRef("a", "two")},
        {},
        (),
    )
    actions = table(action("a"), both)
    assert actions["b"].undecided == 1
    run(actions, "a")
    assert actions["b"].state is S.READY


@pytest.mark.parametrize("held", [S.QUEUED, S.SETUP])
def test_what_is_below_a_result_that_is_taken_back_waits_again(held: ActionState) -> None:
    actions = table(action("a"), action("b", "a"), action("c", "a"), action("d", "a"))
    run(actions, "a")
    actions.move(actions["b"], held)
    for state in (S.QUEUED, S.RUNNING):
        actions.move(actions["c"], state)
    run(actions, "d")
    actions.look_again(actions["a"])
    # What runs, runs on, and what is known stays known until its inputs turn out to differ.
    assert [actions[name].state for name in "abcd"] == [S.READY, S.WAITING, S.RUNNING, S.DONE]
    actions.look_again(actions["c"])
    assert actions["c"].state is S.WAITING
    run(actions, "a")
    assert [actions[name].state for name in "bcd"] == [S.READY, S.READY, S.DONE]


def test_actions_are_counted_by_environment() -> None:
    actions = table(action("a"), action("b", "a"), action("c", environment=None))
    assert actions.environments == {"torch": 2}
    run(actions, "a")
    actions.move(actions["b"], S.SKIPPED)
    assert actions.environments == {"torch": 0}
    actions.look_again(actions["a"])
    assert actions.environments == {"torch": 1}


def test_an_action_that_was_ready_twice_is_looked_at_once() -> None:
    actions = table(action("a"), action("b", "a"))
    drain(actions)
    run(actions, "a")
    actions.look_again(actions["a"])
    run(actions, "a")
    actions.move(actions.next_ready() or actions["a"], S.QUEUED)
    assert drain(actions) == []


@pytest.mark.parametrize("was", list(S))
@pytest.mark.parametrize("to", list(S))
def test_only_listed_moves_are_possible(was: ActionState, to: ActionState) -> None:
    actions = table(action("a"))
    node = actions["a"]
    node.state = was
    if was in (S.RUNNING, S.SETUP, S.SHARED, S.ELSEWHERE):
        actions._listed[was][node.id] = node
    if to in ALLOWED[was]:
        actions.move(node, to)
        assert node.state is to
    else:
        with pytest.raises(RuntimeError, match=f"a cannot go from {was.value} to {to.value}"):
            actions.move(node, to)
        assert node.state is was


def test_what_failed_or_was_skipped_stays_so() -> None:
    assert [state for state in DECIDED if ALLOWED[state]] == [S.DONE]


def test_nothing_is_ready_below_what_is_undecided() -> None:
    actions = table(action("a"), action("b", "a"))
    with pytest.raises(RuntimeError, match="b cannot go from waiting to ready"):
        actions.move(actions["b"], S.READY)
