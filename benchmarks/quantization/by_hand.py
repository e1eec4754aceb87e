"""Uses a format's library by hand, and counts pictures: the part that runs in the format's toolchain.

    python -m benchmarks.quantization.by_hand FORMAT < GIVEN

GIVEN is `{"float": PATH, "train": PATH, "val": PATH, "target": FOLDER, "ours": {CASE: PATH}}`; what is
printed is `{CASE: {"ours": {"bytes", "top1", "signal_error"}, "by_hand": the same of the other}}`.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quantization.cases import COUNT
from buildsys.backends.kit.quantize.held_out import signal_error


@dataclass(frozen=True)
class Given:
    """What a format's module starts from.

    Attributes:
        source: The float artifact.
        calibration: `[COUNT, 1, 8, 8]` pictures.
        pictures: `[n, 1, 8, 8]` to judge by.
        labels: `[n]` their digits.
    """

    source: Path
    calibration: NDArray[Any]
    pictures: NDArray[Any]
    labels: NDArray[Any]


def main() -> None:
    """Makes and judges all cases of one format."""
    warnings.simplefilter("ignore")  # What libraries warn of by themselves is no finding here.
    module = importlib.import_module(f"benchmarks.quantization.{sys.argv[1]}")
    asked = json.load(sys.stdin)
    train, val = (np.load(asked[name]) for name in ("train", "val"))
    given = Given(Path(asked["float"]), train["x"][:COUNT], val["x"], val["y"])
    found = {}
    with contextlib.redirect_stdout(sys.stderr):  # Libraries print.
        exact = module.logits(given.source, given.pictures)
        for case, ours in asked["ours"].items():
            target = Path(asked["target"]) / f"{sys.argv[1]}-{case}"
            module.make(case, given, target)
            found[case] = {
                "ours": _judged(module, Path(ours), given, exact),
                "by_hand": _judged(module, target, given, exact),
            }
    json.dump(found, sys.stdout)


def _judged(module: Any, path: Path, given: Given, exact: NDArray[Any]) -> dict[str, Any]:
    logits = module.logits(path, given.pictures)
    right = int((logits.argmax(1) == given.labels).sum())
    expected, found = ([{"logits": each} for each in runs] for runs in (exact, logits))
    return {
        "bytes": _size(path),
        "top1": right / len(given.labels),
        "signal_error": round(signal_error(expected, found), 6),
    }


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    main()
