"""A small project that tests edit, plan and build: real store, engine and processes, fake models."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np

from buildsys.engine.events import Event
from buildsys.engine.executors.executor import Executor
from buildsys.engine.results import Build, Plan
from buildsys.engine.run import Settings
from buildsys.engine.session import Session, open_recipe
from buildsys.planner.catalog import Catalog
from tests.fakes.numeric.rules import backend

RECIPE = """\
version: 1
project: toy
datasets:
  val: {source: val.npz, inputs: {x: x}, labels: y}
  train: {source: train.npz, inputs: {x: x}}
models:
  m:
    source: {factory: model:build, args: {scale: 1.0}, checkpoint: weights.safetensors}
    inputs:
      x: {shape: [N, 3], dims: {N: {min: 1, max: 8, example: 1}}}
    outputs: {y: {}}
    samples: {dataset: val, count: 8}
    evaluate: {dataset: val, metric: top1}
    environment: host
quantization:
  half: {scheme: float16}
  int8: {scheme: static, calibration: {dataset: train, count: 4}}
acceptance:
  close: {signal_error: 1.0e-3}
targets:
  ios:
    - {format: onnx, accept: close}
    - {format: coreml}
  android:
    - {format: tflite, accept: close}
    - {format: tflite, quantization: half, accept: close}
"""
MODEL = """\
from helper import base


def build(scale):
    return [[scale * value for value in row] for row in base()]
"""
HELPER = """\
def base():
    return [[1.1, 2.3], [3.1, -4.7], [0.3, 0.25]]
"""


class Space:
    """A project folder and a store.

    Attributes:
        events: What the last build told.
    """

    def __init__(self, project: Path, store: Path) -> None:
        self.project = project
        self.store = store
        self.events: list[Event] = []
        self.catalog = Catalog.load([backend])

    def create(self) -> None:
        """Writes the project."""
        self.project.mkdir(parents=True)
        self.write("deploy.yaml", RECIPE)
        self.write("model.py", MODEL)
        self.write("helper.py", HELPER)
        self.weights([[1.1, 2.3], [3.1, -4.7], [0.3, 0.25]])
        self.arrays("val.npz", 16, seed=1)
        self.arrays("train.npz", 8, seed=2)

    def write(self, name: str, text: str) -> None:
        """Writes a file of the project."""
        (self.project / name).write_text(text)

    def edit(self, name: str, before: str, after: str) -> None:
        """Replaces a piece of a file, which must be there."""
        text = (self.project / name).read_text()
        assert before in text
        self.write(name, text.replace(before, after))

    def weights(self, rows: object) -> None:
        """Writes the checkpoint."""
        self.write("weights.safetensors", json.dumps(rows))

    def arrays(self, name: str, count: int, seed: int) -> None:
        """Writes a dataset."""
        generator = np.random.default_rng(seed)
        x = generator.standard_normal((count, 3)).astype(np.float32)
        np.savez(self.project / name, x=x, y=generator.integers(0, 2, count))

    def session(self, salt: str = "", executor: Executor | None = None) -> Session:
        """A session on the recipe as it is now."""
        recipe = open_recipe(self.project / "deploy.yaml", self.catalog, os.environ)
        return Session(recipe, self.catalog, root=self.store, executor=executor, salt=salt)

    def plan(self, *selectors: str) -> Plan:
        """Plans."""
        with self.session() as session:
            return session.plan(selectors)

    def build(self, *selectors: str, jobs: int = 2, keep_going: bool = False) -> Build:
        """Builds."""
        self.events = []
        with self.session() as session:
            return session.build(
                selectors,
                settings=Settings(jobs=jobs, max_failures=None if keep_going else 1, timeout=60),
                listener=self.events.append,
            )

    def ran(self, build: Build) -> Counter[str]:
        """How often each rule ran."""
        return Counter(build.graph.actions[name].rule for name in build.run.executed)

    def artifacts(self) -> dict[str, bytes]:
        """Every placed file and its bytes."""
        folder = self.project / "artifacts"
        return {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }

    def snapshot(self) -> dict[str, tuple[int, int]]:
        """Size and modification time of every file of the store and of the artifacts."""
        found = {}
        for root in (self.store, self.project / "artifacts"):
            for file in sorted(root.rglob("*")):
                if file.is_file() and not file.name.endswith(("-wal", "-shm")):
                    information = file.stat()
                    found[str(file)] = (information.st_size, information.st_mtime_ns)
        return found


def statuses(build: Build) -> dict[str, str]:
    """Status by label."""
    return {v.deployable.label: str(v.status) for v in build.verdicts}
