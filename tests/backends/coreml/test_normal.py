"""Core ML packages that mean the same are the same once normalised, and no others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.backends.coreml.packages import convert
from tests.support.harness import run_worker

pytestmark = pytest.mark.toolchain


def normal(path: Path) -> bytes:
    done = run_worker(
        "coreml",
        "coreml",
        "normal:normalise",
        inputs={"artifact": path},
        outputs={"normal": "normal"},
    )
    assert done.error is None, done.log
    return done.outputs["normal"].read_bytes()


def test_identifiers_make_no_difference_and_a_bit_does(zoo: Path, tmp_path: Path) -> None:
    source = convert(zoo, "cnn").artifact
    for name in ("same", "other"):
        shutil.copytree(source, tmp_path / name)
    manifest = tmp_path / "same" / "Manifest.json"
    record = json.loads(manifest.read_text())
    entries = record["itemInfoEntries"]
    record["itemInfoEntries"] = {f"OTHER-{key}": value for key, value in entries.items()}
    manifest.write_text(json.dumps(record))
    weights = tmp_path / "other" / "Data/com.apple.CoreML/weights/weight.bin"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    first = normal(source)
    assert normal(tmp_path / "same") == first
    assert normal(tmp_path / "other") != first
