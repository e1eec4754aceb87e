"""What apps run: TorchScript in a C++ program with LibTorch, .ptl files by the mobile interpreter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from tests.support.harness import Result, factory, interpreter, port, run_worker
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

PORTS = [port("x", ["N", 6])]
OUTPUTS = ["scores", "label"]
SAMPLES = 4
# Control flow that depends on values, so that a script has to keep it.
MODEL = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
    def forward(self, x):
        y = self.fc(x)
        if bool(x.sum() > 0):
            y = y * 10
        return y, y.argmax(1)
def build():
    return Net()
"""
SOURCE = Path(__file__).with_name("run_torchscript.cpp")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of which every other takes the branch."""
    rows = np.random.default_rng(5).standard_normal((SAMPLES, 6)).astype(np.float32)
    rows *= np.sign(rows.sum(1, keepdims=True)) * np.resize([1, -1], (SAMPLES, 1))
    path = tmp_path_factory.mktemp("samples") / "in.npz"
    arrays.save(path, {"x": rows.astype(np.float32)})
    return path


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run_worker(
        "torch",
        "torch",
        "worker:capture",
        options=factory(PORTS, OUTPUTS, method="script"),
        project=zoo.write(tmp_path_factory.mktemp("project"), text=MODEL),
    )


@pytest.fixture(scope="module")
def expected(scripted: Result, samples: Path) -> arrays.Arrays:
    """The outputs of the scripted file by torch, both branches among them."""
    found = run(scripted, "torch.runtime", samples).arrays()
    assert np.unique(arrays.load(samples)["x"].sum(1) > 0).tolist() == [False, True]
    return found


def run(made: Result, runtime: str, samples: Path) -> Result:
    return run_worker(
        "torch",
        "kit",
        "run.measurement:run_artifact",
        inputs={"artifact": made.artifact, "io": made.outputs["io"], "samples": samples},
        outputs={"samples": "out.npz", "run": "run.json"},
        options={
            "ports": [port("x", ["N", 6], N=(1, 1, 1))],
            "outputs": OUTPUTS,
            "dynamic": True,
            "runtime_module": runtime,
            "latency": {"warmup": 0, "runs": 1},
        },
    )


def lite(artifact: Path, io: Path, hash_seed: str = "0", threads: int = 2) -> Result:
    return run_worker(
        "torch",
        "torch",
        "lite.worker:convert",
        inputs={"artifact": artifact, "io": io},
        options={"ports": PORTS, "outputs": OUTPUTS, "format": {}, "scheme": None},
        hash_seed=hash_seed,
        threads=threads,
    )


def test_a_cpp_program_with_libtorch_gives_the_same_numbers(
    scripted: Result, samples: Path, expected: arrays.Arrays, tmp_path: Path
) -> None:
    torch = interpreter("torch").parents[1] / "lib/python3.11/site-packages/torch"
    program = tmp_path / "run"
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++, which LibTorch's headers are for")
    includes = [f"-I{torch}/include", f"-I{torch}/include/torch/csrc/api/include"]
    libraries = [f"-L{torch}/lib", f"-Wl,-rpath,{torch}/lib", "-ltorch", "-ltorch_cpu", "-lc10"]
    subprocess.run(
        [compiler, "-std=c++20", "-O0", "-w", *includes, SOURCE, *libraries, "-o", program],
        check=True,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path)},
    )
    for number, row in enumerate(arrays.load(samples)["x"]):
        found = cpp(program, scripted.artifact, row[np.newaxis], tmp_path)
        for name, values in zip(OUTPUTS, found, strict=True):
            assert values == expected[name][number].astype(np.float32).ravel().tolist()


def cpp(
    program: Path, artifact: Path, array: NDArray[np.generic], folder: Path
) -> list[list[float]]:
    """What the program prints: a line an output, as numbers of float32."""
    (folder / "input.bin").write_bytes(array.tobytes())
    sizes = [str(size) for size in array.shape]
    done = subprocess.run(
        [program, artifact, folder / "input.bin", *sizes],
        check=True,
        capture_output=True,
        text=True,
        env={"OMP_NUM_THREADS": "1"},
    )
    return [[float(np.float32(x)) for x in line.split()] for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def mobile(scripted: Result) -> Result:
    return lite(scripted.artifact, scripted.outputs["io"])


def test_the_mobile_interpreter_gives_the_same_numbers(
    scripted: Result, mobile: Result, samples: Path, expected: arrays.Arrays
) -> None:
    found = run(mobile, "torch.lite.runtime", samples)
    assert {name: array.tolist() for name, array in found.arrays().items()} == {
        name: array.tolist() for name, array in expected.items()
    }
    assert mobile.io == scripted.io
    assert mobile.notes == []
    assert b"bytecode.pkl" in mobile.bytes


def test_mobile_files_are_the_same_in_another_folder_process_and_hash_seed(
    scripted: Result, mobile: Result, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere.pt"
    shutil.copy(scripted.artifact, moved)
    again = lite(moved, scripted.outputs["io"], hash_seed="7", threads=1)
    assert again.bytes == mobile.bytes
    assert b"debug_pkl" not in mobile.bytes
    assert json.loads(again.outputs["io"].read_text()) == json.loads(
        mobile.outputs["io"].read_text()
    )
