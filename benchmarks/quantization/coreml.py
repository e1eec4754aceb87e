"""coremltools as its own documentation uses it, and the project's evaluator."""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quantization.by_hand import Given
from buildsys.backends.coreml.evaluator.program import Program
from buildsys.backends.coreml.libraries import ct

THRESHOLD = 512
"""From how many numbers on a weight is compressed, as the project has it."""
OPTIMIZE = ct.optimize.coreml
LINEAR = {
    "weight-only-8": {"mode": "linear_symmetric"},
    "weight-only-8-tensor": {"mode": "linear_symmetric", "granularity": "per_tensor"},
    "weight-only-8-zero-points": {"mode": "linear"},
}


def make(case: str, given: Given, target: Path) -> None:
    """Writes one compressed package."""
    model = ct.models.MLModel(str(given.source), skip_model_load=True)
    # coremltools writes nothing without this suffix.
    written = target.with_suffix(".mlpackage")
    if case in LINEAR:
        config = OPTIMIZE.OpLinearQuantizerConfig(
            dtype="int8", weight_threshold=THRESHOLD, **LINEAR[case]
        )
        OPTIMIZE.linear_quantize_weights(model, _all(config)).save(str(written))
    elif case == "palette-4-uniform":
        config = OPTIMIZE.OpPalettizerConfig(mode="uniform", nbits=4, weight_threshold=THRESHOLD)
        OPTIMIZE.palettize_weights(model, _all(config)).save(str(written))
    else:
        config = OPTIMIZE.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=THRESHOLD)
        OPTIMIZE.prune_weights(model, _all(config)).save(str(written))
    written.rename(target)


def _all(config: Any) -> Any:
    return OPTIMIZE.OptimizationConfig(global_config=config)


def logits(path: Path, pictures: NDArray[Any]) -> NDArray[Any]:
    """What a package gives for each picture."""
    program = Program.open(path)
    found = [program.run({"image": picture[None]})["logits"][0] for picture in pictures]
    values: NDArray[Any] = np.stack(found)
    return values
