"""Steps of the Core ML backend on the models of `converter_zoo`, and what their packages say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from buildsys.backends.coreml.rules import CoremlOptions
from tests.support.harness import Result, run_worker
from tests.support.scripts import script

INSPECT = Path(__file__).with_name("inspect_package.py")
METADATA = {"project": "digits", "model": "classifier", "version": "1.2.0"}
FILES = {"artifact": "model.mlpackage", "io": "io.json"}


def convert(
    zoo: Path,
    model: str,
    suffix: str = ".pt",
    scheme: str | None = None,
    hash_seed: str = "0",
    ports: list[dict[str, Any]] | None = None,
    keep_float: list[str] | None = None,
    **options: Any,
) -> Result:
    told = json.loads((zoo / f"{model}.options.json").read_text())
    if ports is not None:
        told["ports"] = ports
    told |= {
        "format": CoremlOptions(**options).model_dump(),
        "scheme": scheme,
        "metadata": METADATA,
    }
    if keep_float is not None:
        told["quantization"] = {"keep_float": keep_float}
    given = {"artifact": zoo / f"{model}{suffix}", "io": zoo / f"{model}.io.json"}
    return run_worker(
        "coreml",
        "coreml",
        "worker:convert",
        inputs=given,
        outputs=FILES,
        options=told,
        hash_seed=hash_seed,
    )


def quantize(
    zoo: Path,
    model: str,
    source: Result,
    samples: Path | None = None,
    *,
    scheme: str = "weight-only",
    hash_seed: str = "0",
    threads: int = 2,
    **quantization: Any,
) -> Result:
    told = json.loads((zoo / f"{model}.options.json").read_text())
    given = {"scheme": scheme, **quantization}
    if scheme != "mixed":
        given = {"bits": 8, "per_channel": True} | given
    told |= {"format": {}, "scheme": scheme, "metadata": METADATA, "quantization": given}
    data = {"calibration": samples} if samples else {}
    return run_worker(
        "coreml",
        "coreml",
        "worker:quantize",
        inputs={**source.outputs, **data},
        outputs=FILES | ({"ranges": "ranges.json"} if data else {}),
        options=told,
        hash_seed=hash_seed,
        threads=threads,
    )


def inspect(package: Path) -> dict[str, Any]:
    return json.loads(script("coreml", INSPECT, str(package)))  # type: ignore[no-any-return]
