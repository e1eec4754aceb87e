"""Times the zoo's packages against torch, and compares them with each other.

The part of `benchmarks.evaluator` that runs in the toolchain.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.zoo.architectures import ARCHITECTURES
from buildsys.backends.coreml.evaluator.program import Program
from buildsys.backends.kit.protocol.ports import random_feed

SECONDS = 2.0
"""How long each architecture is timed."""
FEWEST = 7


def row(name: str, packages: Mapping[str, str]) -> dict[str, Any]:
    """Times one architecture.

    Args:
        name: The architecture; the project's folder is first in `sys.path`.
        packages: `float32`, `float16` and maybe `weight-only` to paths.

    Returns:
        `torch_ms`, the original's median; for each of the first two its median divided by that; in what
        their operations differ, casts aside; and whether what the compressed package gives is, bit by
        bit, what it gives once coremltools has decompressed it.
    """
    architecture = ARCHITECTURES[name]
    model = getattr(importlib.import_module(f"zoo.{architecture.family}"), name)()
    whole, half = (Program.open(Path(packages[each])) for each in ("float32", "float16"))
    feed = _feed(name, whole)
    given = [
        torch.from_numpy(feed[each].astype(port.get("dtype", "float32")))
        for each, port in architecture.inputs.items()
    ]

    def original() -> None:
        with torch.inference_mode():
            model(*given)

    runs = (original, lambda: whole.run(feed, "fp32"), lambda: half.run(feed))
    medians = _medians(runs)
    return {
        "torch_ms": round(1e3 * medians[0], 3),
        "float32": round(medians[1] / medians[0], 2),
        "float16": round(medians[2] / medians[0], 2),
        "operations_differ": difference(whole, half),
        "decoded_equal": (
            decoded_equal(Path(packages["weight-only"]), feed)
            if "weight-only" in packages
            else None
        ),
    }


def difference(whole: Program, half: Program) -> dict[str, int] | None:
    """How many more of each operation the float16 program has; casts, which precision asks for, aside.

    Returns:
        `None` where the sequences are the same; nothing at all where only the order differs.
    """
    first, second = (
        [step.operation for step in program.steps if step.operation != "cast"]
        for program in (whole, half)
    )
    if first == second:
        return None
    counts = Counter(second)
    counts.subtract(Counter(first))
    return {name: count for name, count in sorted(counts.items()) if count}


def decoded_equal(package: Path, feed: Mapping[str, Any]) -> bool:
    """Whether a compressed package and coremltools' own decompression of it evaluate to equal bits."""
    from buildsys.backends.coreml.libraries import ct

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.mlpackage"
        model = ct.models.MLModel(str(package), skip_model_load=True)
        ct.optimize.coreml.decompress_weights(model).save(str(plain))
        ours, theirs = (Program.open(each).run(feed) for each in (package, plain))
    return all(np.array_equal(ours[name], theirs[name], equal_nan=True) for name in theirs)


def _feed(name: str, program: Program) -> dict[str, Any]:
    """Inputs at the example's sizes, drawn as the zoo's samples are."""
    architecture = ARCHITECTURES[name]
    ports = [
        {
            "name": each,
            "shape": program_input.shape,
            "dtype": port.get("dtype", "float32"),
            "range": port.get("range", [0, 1] if architecture.samples == "uniform" else None),
        }
        for program_input in program.inputs
        for each, port in architecture.inputs.items()
        if program_input.name == each
    ]
    return {
        each.name: np.asarray(array)
        for each, array in zip(program.inputs, random_feed(ports, {}, 1).values(), strict=True)
    }


def _medians(runs: tuple[Callable[[], object], ...]) -> list[float]:
    """Seconds of processor time of each of several functions, called in turns."""
    for run in runs * 2:
        run()
    seconds: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(seconds[0]) < FEWEST:
        for run, taken in zip(runs, seconds, strict=True):
            # On one thread; what else the machine does is not counted.
            before = time.process_time()
            run()
            taken.append(time.process_time() - before)
    return [statistics.median(each) for each in seconds]


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.path.insert(0, sys.argv[1])
    asked: dict[str, dict[str, str]] = json.load(sys.stdin)
    print(json.dumps({name: row(name, packages) for name, packages in asked.items()}))
