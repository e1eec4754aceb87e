"""Quantizes files by the backend's own worker, many in one process: BACKENDS ZOO FLOATS TARGET CASES.

FLOATS has `NAME.tflite` and `NAME.io.json`; CASES is a file `{case: [NAME, profile]}`. TARGET gets
`CASE.tflite`, `CASE.weights.npz` and `CASE.names.json` (see `kit.inspect.stored_weights`), and `told.json`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

backends, zoo, floats, target, listed = map(Path, sys.argv[1:])
host = importlib.util.spec_from_file_location(
    "program", backends.parent / "toolchains" / "inside" / "program.py"
)
assert host is not None
assert host.loader is not None
module = importlib.util.module_from_spec(host)
host.loader.exec_module(module)
module.expose(str(backends))


def load(name: str) -> Any:
    return importlib.import_module(f"modelbuild_backends.{name}")


def error(model: str, artifact: Path, io: Path) -> float:
    """Signal error against PyTorch, the worst output's."""
    data = np.load(zoo / f"{model}.npz")
    contract = load("kit.protocol.contract").Contract.read(io)
    session = load("tflite.runtime").load(artifact, contract, 1)
    count = len(data[f"in.{contract.inputs[0].name}"])
    rows = [
        session.run({port.name: data[f"in.{port.name}"][i : i + 1] for port in contract.inputs})
        for i in range(count)
    ]
    worst = 0.0
    for name in rows[0]:
        wanted = data[f"out.{name}"]
        if wanted.dtype == np.float32:
            off = np.concatenate([row[name] for row in rows]) - wanted
            worst = max(worst, float(np.linalg.norm(off) / np.linalg.norm(wanted - wanted.mean(0))))
    return worst


def quantize(case: str, name: str, profile: dict[str, Any]) -> dict[str, Any]:
    kit = load("kit.protocol.request")
    model = name.partition("-")[0]
    options = json.loads((zoo / f"{model}.options.json").read_text())
    given = {"artifact": floats / f"{name}.tflite", "io": floats / f"{name}.io.json"}
    if "calibration" in json.dumps(profile):
        data = np.load(zoo / f"{model}.npz")
        given["calibration"] = target / "calibration.npz"
        load("kit.protocol.arrays").save(
            given["calibration"], {n[3:]: data[n] for n in data.files if n.startswith("in.")}
        )
    made = {
        "artifact": target / f"{case}.tflite",
        "io": target / f"{case}.io.json",
        "ranges": target / f"{case}.ranges.json",
    }
    request = kit.Request(
        inputs=given,
        outputs=made,
        options=options | {"format": {}, "scheme": profile["scheme"], "quantization": profile},
        scratch=target,
        threads=1,
    )
    try:
        load("tflite.quantize.worker").quantize(request)
    except kit.StepError as refused:
        return {"error": [refused.message, refused.hint, refused.field], "notes": request.notes}
    data = made["artifact"].read_bytes()
    load("kit.inspect.stored_weights").read_weights(
        kit.Request(
            inputs={"artifact": made["artifact"], "io": made["io"]},
            outputs={
                "weights": target / f"{case}.weights.npz",
                "names": target / f"{case}.names.json",
            },
            options={"reader_module": "tflite.stored_weights"},
            scratch=target,
            threads=1,
        )
    )
    counted = load("tflite.quantize.census").census(data)
    return {
        "error": None,
        "notes": request.notes,
        "bytes": len(data),
        "of": given["artifact"].stat().st_size,
        "digest": hashlib.sha256(data).hexdigest(),
        "weights": dict(counted.weights),
        "tensors": dict(counted.tensors),
        "signal_error": error(model, made["artifact"], made["io"]),
        "ranges": json.loads(made["ranges"].read_text()) if "calibration" in given else None,
    }


if __name__ == "__main__":
    cases = json.loads(listed.read_text())
    told = {case: quantize(case, *given) for case, given in cases.items()}
    (target / "told.json").write_text(json.dumps(told))
