"""ONNX's own backend models ship: as they are, upgraded, or refused for a reason that is known.

They are taken out of the wheel of the toolchain `openvino`, whose onnx still carries all of them.
`make test-nightly` builds all of them; `make test` the few that stand for a kind.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import toolchain
from tests.e2e.project import Project

pytestmark = pytest.mark.toolchain

MAKER = Path(__file__).with_name("backend_models.py")
ALONE = Path(__file__).with_name("openvino_alone.py")
ALL = os.environ.get("MODELBUILD_BACKEND_MODELS") == "all"
SAMPLE = (
    "pytorch_converted_batchnorm2d_eval",
    "pytorch_converted_prelu_2d_multiparam",
    "pytorch_operator_operator_addmm",
    "node_lstm_batchwise",
    "node_attention_4d",
    "node_attention_4d_with_past_and_present_qk_matmul_bias_4d_mask_causal",
    "node_maxpool_2d_ceil_output_size_reduce_by_one",
)
"""Old operator sets, slopes that the version converter forgets, the batch first, and what OpenVINO alone
gets wrong: attention with a past, and a pooled size."""
UPGRADED = SAMPLE[:4]
FAULTS = set(SAMPLE[-2:])
NOTHING_TO_COMPARE = (
    "does not vary over the samples",
    "has no elements",
    "holds",
    "has another shape for each sample",
)
"""Why a model has no verdict: its output is the same for all inputs, is not a number, or is of a size that
values decide."""
SAME = 1e-3
"""What OpenVINO alone may be apart from the reference evaluator, as a share of the largest number."""


@dataclass(frozen=True)
class Built:
    """What a build of the models gave."""

    folder: Path
    deployables: dict[str, dict[str, Any]]

    def of(self, form: str) -> dict[str, dict[str, Any]]:
        """The deployables of a format, by the model's name."""
        return {
            label.removeprefix("server/").removesuffix(f".{form}"): each
            for label, each in self.deployables.items()
            if each["format"] == form
        }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The models as a project, built in both formats."""
    folder = tmp_path_factory.mktemp("models")
    python = toolchain.python("openvino")
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    data = packages / "onnx" / "backend" / "test" / "data"
    chosen = () if ALL else SAMPLE
    command = [python, MAKER, data, folder / "project", "onnx,openvino", *chosen]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    project = Project(folder / "project", folder / "store")
    project.run("build", "-k")
    report = json.loads((project.folder / "artifacts" / "report.json").read_text())
    return Built(project.folder, {each["label"]: each for each in report["deployables"]})


def test_all_ship_as_onnx(built: Built) -> None:
    found = built.of("onnx")
    assert len(found) >= (700 if ALL else len(SAMPLE))
    strays = {
        name: each["reason"]
        for name, each in found.items()
        if each["status"] != "verified"
        and not any(why in each["reason"] for why in NOTHING_TO_COMPARE)
    }
    assert strays == {}


def test_an_upgrade_is_told(built: Built) -> None:
    found = built.of("onnx")
    for name in UPGRADED:
        notes = " ".join(found[name]["notes"])
        assert "the original was run by the reference evaluator of onnx" in notes
        assert "ONNX Runtime" in notes


def test_what_is_rejected_is_the_converter_s_fault(built: Built) -> None:
    """OpenVINO alone, without this project, gives the same wrong outputs."""
    rejected = [n for n, each in built.of("openvino").items() if each["status"] == "rejected"]
    assert set(rejected) >= FAULTS
    command = [str(toolchain.python("openvino")), str(ALONE), str(built.folder), *rejected]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    judged: dict[str, float | str] = json.loads(done.stdout)
    sound = {n: apart for n, apart in judged.items() if isinstance(apart, float) and apart < SAME}
    assert sound == {}


def test_what_fails_is_not_convertible_by_openvino(built: Built) -> None:
    shipped = {name for name, each in built.of("onnx").items() if each["status"] == "verified"}
    strays = {
        name: each["reason"]
        for name, each in built.of("openvino").items()
        if each["status"] not in ("verified", "rejected")
        and name in shipped
        and "OpenVINO" not in each["reason"]
    }
    assert strays == {}
