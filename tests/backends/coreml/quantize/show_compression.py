"""Compresses a small net in many ways, in the `coreml` toolchain: `show_compression.py BACKENDS`.

Prints as JSON, by way: whether the package gives bit for bit what coremltools' own decompression of it
does, how far it is from the model, and what the audit finds.
"""

# mypy: disable-error-code="misc, import-not-found"

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])

import numpy as np
from backends.coreml.evaluator.program import Program
from backends.coreml.libraries import ct, torch
from backends.coreml.quantize import compression
from backends.coreml.quantize.audit import audit
from backends.kit.protocol.contract import Contract

WAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "int8": ("iOS16", "FLOAT32", {"bits": 8}),
    "uniform 4": ("iOS16", "FLOAT32", {"bits": 4, "palette": "uniform"}),
    "kmeans 4": ("iOS16", "FLOAT16", {"bits": 4, "palette": "kmeans"}),
    "kmeans 1": ("iOS16", "FLOAT16", {"bits": 1, "palette": "kmeans"}),
    "pruned": ("iOS16", "FLOAT16", {"sparsity": 0.5}),
    "int4 blocks": ("iOS18", "FLOAT16", {"bits": 4, "block_size": 16}),
    "uneven blocks": ("iOS18", "FLOAT16", {"bits": 4, "block_size": 32}),
    "palette groups": ("iOS18", "FLOAT32", {"bits": 4, "palette": "kmeans", "block_size": 16}),
    "pruned kmeans 4": (
        "iOS18",
        "FLOAT16",
        {"bits": 4, "palette": "kmeans", "sparsity": 0.5},
    ),
    "int8 with zero points": ("iOS16", "FLOAT32", {"bits": 8, "symmetric": False}),
    "int4 blocks with zero points": (
        "iOS18",
        "FLOAT16",
        {"bits": 4, "block_size": 16, "symmetric": False},
    ),
    "pruned int8 with zero points": (
        "iOS18",
        "FLOAT32",
        {"bits": 8, "sparsity": 0.75, "symmetric": False},
    ),
    "pruned int8": ("iOS18", "FLOAT32", {"bits": 8, "sparsity": 0.75}),
}


def main(folder: Path) -> dict[str, Any]:
    torch.manual_seed(2)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(16, 48, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(768, 32)
    ).eval()
    x = torch.randn(1, 16, 6, 6)
    traced = torch.jit.trace(model, (x,))
    plain: dict[tuple[str, str], Path] = {}
    found = {}
    for name, (target, precision, wanted) in WAYS.items():
        if (target, precision) not in plain:
            plain[target, precision] = folder / f"{target}-{precision}.mlpackage"
            ct.convert(
                traced,
                inputs=[ct.TensorType("x", shape=tuple(x.shape), dtype=np.float32)],
                outputs=[ct.TensorType("y", dtype=np.float32)],
                minimum_deployment_target=getattr(ct.target, target),
                compute_precision=getattr(ct.precision, precision),
                skip_model_load=True,
            ).save(str(plain[target, precision]))
        source = ct.models.MLModel(str(plain[target, precision]), skip_model_load=True)
        smaller = compression.compressed(source, {"scheme": "weight-only", **wanted}, [])
        given = []
        for kind, package in (
            ("small", smaller),
            ("large", ct.optimize.coreml.decompress_weights(smaller)),
        ):
            path = folder / f"{kind}.mlpackage"
            package.save(str(path))
            given.append(Program.open(path).run({"x": x.numpy()})["y"])
        looked = audit(folder / "small.mlpackage", Contract([], []), wanted)
        right = model(x).numpy()
        found[name] = {
            "equal": bool(np.array_equal(*given)),
            "error": float(np.linalg.norm(given[0] - right) / np.linalg.norm(right)),
            "compressed": looked.compressed,
            "zeros": looked.zeros / looked.compressed,
            "levels": looked.levels,
            "shortfall": looked.shortfall(),
        }
    return found


torch.set_grad_enabled(False)
with tempfile.TemporaryDirectory() as scratch:
    print(json.dumps(main(Path(scratch))))
