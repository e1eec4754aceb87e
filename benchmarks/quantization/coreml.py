"""coremltools as its own documentation uses it, and the project's evaluator."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quantization.by_hand import Given
from buildsys.backends.coreml.evaluator.program import Program
from buildsys.backends.coreml.quiet import ct

MODES = {"weight-only-8": "linear_symmetric", "weight-only-8-zero-points": "linear"}
THRESHOLD = 512
"""From how many numbers on a weight is compressed, as the project has it."""


def make(case: str, given: Given, target: Path) -> None:
    """Writes one quantized package."""
    optimize = ct.optimize.coreml
    model = ct.models.MLModel(str(given.source), skip_model_load=True)
    config = optimize.OpLinearQuantizerConfig(
        mode=MODES[case], dtype="int8", weight_threshold=THRESHOLD
    )
    whole = optimize.OptimizationConfig(global_config=config)
    small = optimize.linear_quantize_weights(model, whole)
    # coremltools writes nothing without this suffix.
    small.save(str(target.with_suffix(".mlpackage")))
    target.with_suffix(".mlpackage").rename(target)


def digits(path: Path, pictures: NDArray[Any]) -> NDArray[Any]:
    """What a package takes each picture for."""
    program = Program.open(path)
    found = [program.run({"image": picture[None]})["logits"][0] for picture in pictures]
    taken: NDArray[Any] = np.stack(found).argmax(1)
    return taken
