"""A project whose one deployable is searched for: a matrix of twelve columns, in a format of the fakes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import yaml

from buildsys.engine.events import Candidate
from buildsys.engine.results import Build
from buildsys.engine.run import Settings
from buildsys.search.building import build
from tests.space import Space

LABEL = "edge/m.packed-smallest"
ROWS, COLUMNS = 256, 12

RECIPE = """\
version: 1
project: toy
datasets:
  val: {source: val.npz, inputs: {x: x}}
models:
  m:
    source: {factory: model:build, checkpoint: weights.safetensors}
    inputs: {x: {shape: [N, 256]}}
    outputs: {y: {}}
    samples: {dataset: val, count: 16}
    environment: host
quantization:
  w8: {scheme: weight-only, bits: 8}
  smallest:
    search:
      schemes: [w8, float16, weight-only, dynamic, static]
      subject_to: good
      calibration: {dataset: val, count: 4}
acceptance:
  good: {signal_error: 0.02}
targets:
  edge:
    - {format: packed, quantization: smallest}
"""
CANDIDATES = 10
"""w8; float16; two widths by two kinds of scales; dynamic by two; static by two kinds of activations."""


class SearchSpace(Space):
    """The project, built as the command does."""

    def create(self) -> None:
        self.project.mkdir(parents=True, exist_ok=True)
        self.write("deploy.yaml", RECIPE)
        self.write("model.py", "def build():\n    return None\n")
        self.matrix()
        x = np.random.default_rng(1).standard_normal((32, ROWS)).astype(np.float32)
        np.savez(self.project / "val.npz", x=x)

    def matrix(self, seed: int = 0, loud: int = 0) -> None:
        """Writes the checkpoint: columns of one size, some of which few numbers stand out of."""
        rows = np.random.default_rng(seed).standard_normal((ROWS, COLUMNS))
        # One number that is far off costs all others of its column their digits.
        rows[0, :loud] = 200
        self.weights(np.round(rows, 6).tolist())

    def bound(self, limit: float) -> None:
        """Sets what is good enough."""
        (before,) = [line for line in self.text().splitlines() if line.startswith("  good:")]
        self.edit("deploy.yaml", before, f"  good: {{signal_error: {limit}}}")

    def text(self) -> str:
        return (self.project / "deploy.yaml").read_text()

    def build(self, *selectors: str, jobs: int = 2, keep_going: bool = False, **more: Any) -> Build:
        self.events = []
        with self.session() as session:
            return build(
                session,
                selectors,
                settings=Settings(jobs=jobs, max_failures=None if keep_going else 1, timeout=60),
                listener=self.events.append,
                **more,
            )

    def lock(self) -> dict[str, Any]:
        """What the lock says of the deployable."""
        found = yaml.safe_load((self.project / "deploy.lock.yaml").read_text())
        assert found["version"] == 1
        choice: dict[str, Any] = found["choices"][LABEL]
        return choice

    def tried(self) -> list[str]:
        """The candidates that the last build built, in order."""
        return [e.figures["name"] for e in self.events if isinstance(e, Candidate)]

    def stored(self) -> list[int]:
        """The bits of the placed artifact's columns."""
        (path,) = (self.project / "artifacts" / "edge").glob("*.packed")
        columns: list[int] = json.loads(path.read_bytes().partition(b"\n")[0])["bits"]
        return columns
