"""One number is an array of one in Core ML, which has none without axes; for the model it stays a number."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.backends.coreml.convert.test_images import convert
from tests.support.harness import interpreter, port, run_worker

pytestmark = pytest.mark.toolchain

MAKER = """
import torch
class Energy(torch.nn.Module):
    def forward(self, x):
        return x * 2, (x * x).sum()
torch.jit.trace(Energy(), torch.ones(3, 4)).save("energy.pt")
"""


def test_a_number_is_an_array_of_one_in_the_package(tmp_path: Path) -> None:
    subprocess.run([interpreter("coreml"), "-c", MAKER], cwd=tmp_path, check=True)
    blank = {"artifact_name": None, "permutation": None, "layout": None, "dtype": "float32"}
    contract = {
        "inputs": [{"name": "x", "shape": [3, 4], **blank}],
        "outputs": [
            {"name": "twice", "shape": [3, 4], **blank},
            {"name": "energy", "shape": [], **blank},
        ],
    }
    told = {"ports": [port("x", [3, 4])], "outputs": ["twice", "energy"]}
    (tmp_path / "energy.io.json").write_text(json.dumps(contract))
    (tmp_path / "energy.options.json").write_text(json.dumps(told))
    made = convert(tmp_path, "energy")
    twice, energy = made.io.outputs
    assert (twice.shape, twice.permutation) == ([3, 4], None)
    assert (energy.shape, energy.permutation) == ([1], [])
    assert made.notes == ["output `energy` is an array of one number in the Core ML package"]
    given = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)
    np.savez(tmp_path / "samples.npz", x=given)
    ran = run_worker(
        "coreml",
        "kit",
        "run.measurement:run_artifact",
        inputs={
            "artifact": made.artifact,
            "io": made.outputs["io"],
            "samples": tmp_path / "samples.npz",
        },
        outputs={"samples": "out.npz", "run": "run.json"},
        options=told | {"dynamic": False, "runtime_module": "coreml.evaluation", "latency": None},
    )
    found = ran.arrays()
    assert found["energy"].shape == (5,)
    assert np.allclose(found["energy"], (given**2).sum((1, 2)), rtol=1e-5)


def test_the_evaluator_gives_what_a_device_gives(tmp_path: Path) -> None:
    script = """
import sys
import numpy as np
from buildsys.backends.coreml.libraries import ct
from buildsys.backends.coreml.evaluator.program import Program
mb = ct.converters.mil.mil.Builder
@mb.program(input_specs=[mb.TensorSpec((3,))], opset_version=ct.target.iOS16)
def total(x):
    return mb.reduce_sum(x=x, axes=[0], keep_dims=False)
ct.convert(total, minimum_deployment_target=ct.target.iOS16, compute_precision=ct.precision.FLOAT32,
           skip_model_load=True).save("total.mlpackage")
from pathlib import Path
(found,) = Program.open(Path("total.mlpackage")).run({"x": np.ones(3, np.float32)}).values()
print(found.shape, found.tolist())
"""
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [interpreter("coreml"), "-c", script],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(root), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "(1,) [3.0]"
