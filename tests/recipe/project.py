"""A project in a temporary folder, with a recipe that is right until a test breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildsys.recipe import Diagnostic, Recipe, RecipeError, load
from buildsys.recipe.loading import Check

RIGHT = """\
version: 1
project: digits
datasets:
  train: {source: data/train.npz, inputs: {image: x}, labels: y}
  val: {source: data/val.npz, inputs: {image: x}, labels: y}
models:
  classifier:
    source:
      factory: model:build
      args: {width: 16}
      checkpoint: weights.safetensors
    inputs:
      image: {shape: [N, 1, 8, 8], dtype: float32, dims: {N: {max: 8}}}
    outputs: {logits: {}}
    samples: {dataset: val, count: 32}
    evaluate: {dataset: val, metric: top1}
quantization:
  fp16: {scheme: float16}
  int8: {scheme: static, calibration: {dataset: train}}
acceptance:
  close: {signal_error: 1e-4}
  shipped: {metric_drop: 0.01}
targets:
  ios:
    - {format: coreml, quantization: fp16, accept: close}
    - {format: onnx}
  android:
    - {format: tflite, quantization: int8, accept: shipped}
"""


class Project:
    """A folder with a `deploy.yaml`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "deploy.yaml"
        for name in ("weights.safetensors", "data/train.npz", "data/val.npz"):
            self.write(name, "")
        self.write("deploy.yaml", RIGHT)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def edit(self, *edits: tuple[str, str]) -> None:
        """Replaces texts in the right recipe, each of which must be there once."""
        text = RIGHT
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        self.write("deploy.yaml", text)

    def load(self, *checks: Check, **environ: str) -> Recipe:
        return load(self.path, environ=environ, checks=checks)

    def findings(self, *checks: Check, **environ: str) -> tuple[Diagnostic, ...]:
        with pytest.raises(RecipeError) as caught:
            self.load(*checks, **environ)
        return caught.value.diagnostics

    def brief(self, *checks: Check, **environ: str) -> list[tuple[str, str, str | None]]:
        """Place, message and hint of each finding."""
        return [
            (
                "" if each.position is None else each.position.shown(self.folder),
                each.message,
                each.hint,
            )
            for each in self.findings(*checks, **environ)
        ]

    def rendered(self, **environ: str) -> str:
        with pytest.raises(RecipeError) as caught:
            self.load(**environ)
        return caught.value.render(self.folder)
