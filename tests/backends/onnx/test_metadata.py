"""The io contract inside of ONNX, TorchScript and ExportedProgram files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from tests.backends.onnx.export.test_export import capture, export, run
from tests.profile import by_day
from tests.support.describing import GRAY, WRITTEN, describe
from tests.support.harness import Result
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

NAMES = ["none", "one", "many"]
TOLD: dict[str, Any] = {"preprocess": {"image": GRAY}, "labels": {"logits": NAMES}}
HOMES = {
    "onnx": ("onnx", "onnx"),
    "torchscript": ("torch", "torch"),
    "exported": ("torch", "torch"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """The small CNN in each format."""
    project = zoo.write(tmp_path_factory.mktemp("project"), "cnn")
    script = capture(project, "cnn", "trace")
    return {
        "onnx": export(script, "cnn"),
        "torchscript": script,
        "exported": capture(project, "cnn", "export"),
    }


@pytest.mark.parametrize("form", by_day(HOMES))
def test_it_is_carried_and_changes_no_number(made: dict[str, Result], form: str) -> None:
    toolchain, backend = HOMES[form]
    source = made[form]
    done = describe(toolchain, backend, source, **TOLD)
    (image,), (logits,) = done.io.inputs, done.io.outputs
    assert (image.preprocess, logits.labels) == (WRITTEN, NAMES)
    carried = json.dumps(
        json.loads(done.outputs["io"].read_text()), sort_keys=True, separators=(",", ":")
    )
    assert carried.encode() in done.bytes
    assert source.bytes != done.bytes
    # Written again, by another process: the same bytes, and one entry.
    again = describe(toolchain, backend, done, **TOLD, hash_seed="7")
    assert again.bytes == done.bytes
    samples = Path(tempfile.mkdtemp()) / "samples.npz"
    drawn = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    arrays.save(samples, {"image": drawn})
    runs = [run(toolchain, backend, each, "cnn", samples).arrays() for each in (source, done)]
    assert np.array_equal(runs[0]["logits"], runs[1]["logits"])


def test_labels_of_a_file_that_do_not_fit(made: dict[str, Result]) -> None:
    done = describe("onnx", "onnx", made["onnx"], labels="a\nb\n")
    assert done.message == "2 labels are given for output `logits`, whose last axis has 3"
    assert done.field == "outputs.logits.labels"
