"""A job's specification is all that an executor goes by, and JSON carries it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from buildsys.backends.output import Output
from buildsys.engine.executors import Job, LocalExecutor, Outcome
from buildsys.engine.executors.job import JobSpec
from buildsys.engine.run import Settings
from buildsys.planner.graph import Action, Worker
from buildsys.store import Store
from tests.space import Space, statuses


class ByWire(LocalExecutor):
    """Runs what is left of a job once it was sent to another process.

    Attributes:
        rules: Of the jobs that it ran.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.rules: set[str] = set()

    def run(self, job: Job) -> Outcome:
        received = JobSpec.from_json(job.spec.to_json())
        assert received == job.spec
        self.rules.add(received.rule)
        return super().run(Job(received, cast(Action, None), {}, job.told))


def test_a_build_by_wire_gives_the_same_artifacts(space: Space) -> None:
    executor = ByWire(Store(space.store))
    try:
        with space.session(executor=executor) as session:
            build = session.build(settings=Settings(jobs=2, max_failures=None, timeout=60))
    finally:
        executor.close()
    sent = space.artifacts()
    assert {build.graph.actions[name].rule for name in build.run.executed} == executor.rules
    assert {"torch.capture", "data.sample", "tflite.convert", "verify.measure"} <= executor.rules
    space.store = space.store.with_name("other")
    again = space.build()
    assert space.ran(again) == space.ran(build)
    assert statuses(again) == statuses(build)
    assert space.artifacts() == sent


def test_every_field_comes_back() -> None:
    spec = JobSpec(
        action="m#r",
        rule="r",
        worker=Worker("worker:run", "toy", Path("/b/toy"), ("toy.worker",), (Path("/b/x.mjs"),)),
        environment="toy",
        options={"nested": {"list": [1, 2.5, None, "é"]}, "flag": True},
        outputs=(Output("o", "o.json", measured=("latency_ms",)), Output("t", "t", "tree")),
        user_code=True,
        resumes=True,
        key="ab" * 32,
        inputs={"file": (Path("/p/w.bin"), "sha256:1"), "stored": (None, "tree:2")},
        python=Path("/env/bin/python"),
        project=Path("/p"),
        threads=2,
        timeout=1.5,
        memory=1 << 40,
        room=None,
    )
    assert JobSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"action": 1}'])
def test_what_is_no_specification_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        JobSpec.from_json(text)


def test_it_is_plain_json() -> None:
    action = Action("m", "r", Worker("w:f", None, None), None, {}, {}, ())
    spec = Job.of(action, "ab", {}, Path("/python"), None, 1, 60.0).spec
    assert json.loads(spec.to_json())["python"] == "/python"
