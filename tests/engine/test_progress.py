"""Steps that say how far they are, and that are taken up where an interruption left them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from buildsys.backends.output import Output
from buildsys.engine.events import (
    ActionFinished,
    ActionName,
    ActionProgress,
    ActionStarted,
    Event,
)
from buildsys.engine.executors import Done, Failed, Job, LocalExecutor
from buildsys.engine.scheduling.reporting import Reporter
from buildsys.planner.graph import Action, Worker
from buildsys.report.progress import Progress, far
from buildsys.store import Store

WORKER = """
import os
import signal
import time

import numpy as np

from ..kit.protocol.request import Request


def quick(request: Request) -> None:
    for number in range(1000):
        request.progress(number + 1, 1000)
    request.outputs["artifact"].write_text("quick")


def slow(request: Request) -> None:
    for number in range(6):
        time.sleep(0.08)
        request.progress(number + 1, 6, loss=np.float32(0.5), best=float("nan"))
    request.outputs["artifact"].write_text("slow")


def train(request: Request) -> None:
    import code_of_the_model
    done = int(request.resume.load("state") or b"0")
    begun = done
    while done < 4:
        done += 1
        request.resume.save("state", str(done).encode())
        if done == request.options["die_at"] and not os.path.exists(request.options["died"]):
            open(request.options["died"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
    request.outputs["artifact"].write_text(f"{code_of_the_model.NAME} from {begun} to {done}")
"""
Make = Callable[..., Job]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "code_of_the_model.py").write_text("NAME = 'first'\n")
    return folder


@pytest.fixture
def make(tmp_path: Path, project: Path) -> Make:
    folder = tmp_path / "plugins" / "probe"
    folder.mkdir(parents=True)
    (folder / "worker.py").write_text(WORKER)

    def make(function: str, **options: Any) -> Job:
        worker = Worker(f"worker:{function}", "probe", folder, ())
        code = function == "train"
        action = Action(
            f"m#{function}",
            "probe.step",
            worker,
            "host",
            {},
            options,
            (Output("artifact", "out.txt"),),
            user_code=code,
            resumes=code,
        )
        python = Path(sys.executable)
        return Job.of(action, "ab" * 32, {}, python, project if code else None, 1, 60.0)

    return make


def text(store: Store, outcome: object) -> str:
    assert isinstance(outcome, Done), outcome
    return store.read(outcome.outputs["artifact"].digest).decode()


@pytest.mark.parametrize("warm", [True, False])
def test_a_slow_step_says_how_far_it_is(store: Store, make: Make, warm: bool) -> None:
    executor = LocalExecutor(store, warm=warm)
    told: list[Mapping[str, Any]] = []
    outcome = executor.run(replace(make("slow"), told=told.append))
    executor.close()
    assert text(store, outcome) == "slow"
    assert told[-1] == {"done": 6, "total": 6, "figures": {"loss": 0.5, "best": None}}
    assert [line["done"] for line in told] == sorted({line["done"] for line in told})
    assert 2 <= len(told) < 6  # Not every call is a line.


def test_a_quick_step_says_nothing(store: Store, executor: LocalExecutor, make: Make) -> None:
    told: list[Mapping[str, Any]] = []
    assert text(store, executor.run(replace(make("quick"), told=told.append))) == "quick"
    assert told == []


def test_what_was_saved_is_taken_up(
    store: Store, executor: LocalExecutor, make: Make, tmp_path: Path
) -> None:
    job = make("train", die_at=3, died=str(tmp_path / "died"))
    assert isinstance(executor.run(job), Failed)
    assert (store.root / "resume" / job.spec.key / "state").read_bytes() == b"3"
    assert text(store, executor.run(job)) == "first from 3 to 4"
    assert list((store.root / "resume").iterdir()) == []


def test_what_other_code_saved_is_dropped(
    store: Store, executor: LocalExecutor, make: Make, tmp_path: Path, project: Path
) -> None:
    job = make("train", die_at=3, died=str(tmp_path / "died"))
    assert isinstance(executor.run(job), Failed)
    (project / "code_of_the_model.py").write_text("NAME = 'second'\n")
    assert text(store, executor.run(job)) == "second from 0 to 4"


def test_what_was_saved_is_no_input(
    store: Store, executor: LocalExecutor, make: Make, tmp_path: Path
) -> None:
    job = make("train", die_at=0, died=str(tmp_path / "died"))
    outcome = executor.run(job)
    assert isinstance(outcome, Done)
    assert not [name for name in outcome.discovered if "resume" in name or "state" in name]


def test_the_line_of_the_terminal_says_how_far() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    name = ActionName("slim#torch.finetune", "torch.finetune", "torch", None)
    figures = {"loss": 0.12345, "accuracy": None, "phase": "b"}
    said = ActionProgress(action=name, done=3, total=10, figures=figures, at=1.0)
    with Progress(console, quiet=False, verbose=False) as progress:
        progress(ActionStarted(action=name, at=0.0))
        progress(said)
        assert "slim#torch.finetune 3/10, loss 0.123, accuracy –, phase b" in str(
            progress._status.status
        )
        progress(ActionFinished(action=name, cached=False, key="k", seconds=1.0, at=2.0))
        # A line that comes late brings nothing back.
        progress(said)
        assert progress._running == {}
    assert far(replace(said, done=0.5, total=1, figures={})) == "0.5/1"


def test_the_event_is_plain_json() -> None:
    events: list[Event] = []
    action = Action("m#t", "t", Worker("", "", None, ()), "host", {}, {}, (), labels=["ios/m"])
    line = {"done": 1, "total": 2, "figures": {"loss": 0.5}, "odd": 1}
    Reporter(events.append).progress(action, line)
    (event,) = [json.loads(json.dumps(e.to_json())) for e in events]
    event.pop("at")
    assert event == {
        "event": "action_progress",
        "id": "m#t",
        "rule": "t",
        "toolchain": "host",
        "deployable": "ios/m",
        "done": 1,
        "total": 2,
        "figures": {"loss": 0.5},
    }
