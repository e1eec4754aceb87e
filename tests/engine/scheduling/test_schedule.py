"""What is started first, and when there is no room."""

from __future__ import annotations

from pathlib import Path

from buildsys.engine.scheduling.schedule import Queue, Room, elapsed, remaining
from buildsys.engine.scheduling.states import ActionState, ActionTable
from buildsys.engine.staleness.walk import Walk
from buildsys.store.index import Expense
from tests.engine.scheduling import test_states
from tests.space import Space

GIB = 1 << 30


def test_the_most_urgent_that_fits_is_taken() -> None:
    urgency = {"a": 1.0, "b": 3.0, "c": 2.0}
    table = ActionTable({name: test_states.action(name) for name in urgency}, ())
    queue = Queue(urgency.__getitem__)
    for name in urgency:
        table.move(table[name], ActionState.QUEUED)
        queue.add(table[name])
    assert queue.take(lambda node: node.id != "b") is table["c"]
    assert queue.take(lambda node: False) is None
    # What is not queued any more is passed over.
    table.move(table["b"], ActionState.SKIPPED)
    assert queue.take(lambda node: node.id != "c") is table["a"]


def test_memory_is_shared_and_one_alone_always_runs() -> None:
    room = Room(jobs=4, memory=3 * GIB, resources={})
    assert room.fits(10 * GIB, {})  # A guess must not stop a build.
    room.take("big", 2 * GIB, {})
    assert room.fits(1 * GIB, {})
    assert not room.fits(2 * GIB, {})
    room.give_back("big")
    assert room.fits(2 * GIB, {})


def test_named_resources_are_counted_and_their_lack_is_named() -> None:
    room = Room(jobs=4, memory=GIB, resources={"gpu": 1})
    assert room.lacks({"gpu": 1}) is None
    assert room.lacks({"macos": 1}) == "macos"
    room.take("a", 0, {"gpu": 1})
    assert not room.fits(0, {"gpu": 1})
    assert room.fits(0, {})
    room.give_back("a")
    assert room.fits(0, {"gpu": 1})


def test_jobs_are_a_bound() -> None:
    room = Room(jobs=1, memory=GIB, resources={})
    room.take("a", 0, {})
    assert room.full
    assert not room.fits(0, {})


def test_what_remains_is_the_longest_path_below(tmp_path: Path) -> None:
    space = Space(tmp_path / "project", tmp_path / "store")
    space.create()
    with space.session() as session:
        walk: Walk = session.engine.walk(session.graph(), session.project())
        expected = dict.fromkeys(walk.graph.actions, Expense(1.0, 0))
        slow = "android/m.tflite#tflite.convert"
        expected[slow] = Expense(10.0, 0)
        below = remaining(walk, expected)
    actions = walk.graph.actions
    assert below[slow] >= 12.0  # With the run and the measurement after it.
    for name, action in actions.items():
        for above in action.upstream():
            assert below[above] >= below[name] + expected[above].seconds
        everything = set(walk.graph.actions)
        alone = elapsed(walk, expected, everything, 1)
        assert alone == sum(each.seconds for each in expected.values())
        # With enough jobs only the longest path counts.
        assert elapsed(walk, expected, everything, 100) == max(below.values())
        assert elapsed(walk, expected, {slow}, 2) == 10.0
        assert elapsed(walk, expected, set(), 2) == 0.0
    leaves = set(actions) - {a for each in actions.values() for a in each.upstream()}
    assert all(below[name] == expected[name].seconds for name in leaves)
