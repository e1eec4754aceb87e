"""Random projects, edits, faults and builds: the thirteen properties hold throughout."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.profile import PROFILE
from tests.properties.machine import Machine

PROFILES = {"quick": (40, 25), "ci": (300, 25), "nightly": (10_000, 60)}
"""Examples and moves. `make test` takes `ci`; pytest alone is quick, for use while one writes."""
EXAMPLES, MOVES = PROFILES[PROFILE]


def profile(examples: int, moves: int, *, shrink: bool = True) -> settings:
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    return settings(
        max_examples=examples,
        stateful_step_count=moves,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


def test_random_moves_on_a_file_system_in_memory() -> None:
    run_state_machine_as_test(Machine, settings=profile(EXAMPLES, MOVES))


def test_random_moves_on_the_disk(tmp_path: Path) -> None:
    class OnDisk(Machine):
        base = tmp_path
        threads = True

    run_state_machine_as_test(OnDisk, settings=profile(EXAMPLES // 15, MOVES))


def test_a_plan_does_not_know_what_a_lost_file_becomes() -> None:
    """A step that is made again may give other bytes, with which the one below it has run before."""
    state = Machine()
    state.make_again(below="slim", jobs=1, step="left", value=0)
    state.make_again(below="left", jobs=1, step="left", value=0)
    state.damage_object(at=0, how="delete", which=0)
    state.make_again(below="left", jobs=1, step="sample", value=0)
    state.edit_option(option="colour", step="capture", value=1)
    state.build_all(jobs=1)
    state.make_again(below="left", jobs=1, step="capture", value=1)
    state.make_again(below="left", jobs=1, step="capture", value=1)
    state.damage_object(at=0, how="flip", which=21130)
    state.make_again(below="left", jobs=1, step="sample", value=0)
    state.teardown()
