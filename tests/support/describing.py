"""What the tests of carriers share: what a recipe says of a model, and the step that writes it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.support.harness import Result, run_worker

DIGITS = [str(n) for n in range(10)]
GRAY = {
    "size": [8, 8],
    "fit": "pad",
    "crop_fraction": 1.0,
    "interpolation": "bilinear",
    "color": "gray",
    "scale": 0.0625,
    "mean": [0.5],
    "std": [],
    "layout": "NCHW",
}
WRITTEN = GRAY | {"std": [1.0]}
"""What contracts say of `GRAY`."""


def describe(
    toolchain: str,
    backend: str,
    source: Result,
    *,
    preprocess: dict[str, Any] | None = None,
    labels: dict[str, Any] | str | None = None,
    hash_seed: str = "0",
) -> Result:
    """Runs a backend's metadata_writer; `labels` may be the text of a file for the output `logits`."""
    options: dict[str, Any] = {}
    inputs = dict(source.outputs)
    if preprocess is not None:
        options["preprocess"] = preprocess
    if isinstance(labels, str):
        inputs["labels0"] = Path(tempfile.mkdtemp()) / "labels0.txt"
        inputs["labels0"].write_text(labels, encoding="utf-8")
        labels = {"logits": "labels0"}
    if labels is not None:
        options["labels"] = labels
    outputs = {"artifact": source.outputs["artifact"].name, "io": "io.json"}
    return run_worker(
        toolchain,
        backend,
        "metadata:describe",
        inputs=inputs,
        outputs=outputs,
        options=options,
        hash_seed=hash_seed,
    )
