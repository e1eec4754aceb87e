"""A small BERT as an ONNX file, made once, for the tests of what is made of ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from tests.support.harness import Result, factory, port, run_worker
from tests.support.models import torch_zoo as zoo

Port = dict[str, Any]

LENGTH = (2, 16, 5)
PORTS: list[Port] = [
    port("tokens", ["N", "T"], "int64", span=[0, 31], T=LENGTH),
    port("mask", ["N", "T"], "int64", span=[0, 1], T=LENGTH),
    port("kinds", ["N", "T"], "int64", span=[0, 1], T=LENGTH),
]
OUTPUTS = ["scores"]


@dataclass(frozen=True)
class Made:
    """A model as ONNX, samples, and what torch gives for them.

    Attributes:
        onnx: The exported file with its contract.
        samples: Nine samples; masks have holes in the middle.
        wanted: torch's outputs for them.
    """

    onnx: Result
    samples: Path
    wanted: NDArray[Any]

    def step(
        self,
        toolchain: str,
        backend: str,
        worker: str,
        *,
        source: Result | None = None,
        hash_seed: str = "0",
        threads: int = 2,
        outputs: dict[str, str] | None = None,
        ports: list[Port] = PORTS,
        **given: Any,
    ) -> Result:
        """Runs a step on the file, or on what another step has made."""
        taken = source or self.onnx
        return run_worker(
            toolchain,
            backend,
            worker,
            inputs={"artifact": taken.artifact, "io": taken.outputs["io"]},
            outputs=outputs,
            options={"ports": ports, "outputs": OUTPUTS, "scheme": None, "format": given},
            hash_seed=hash_seed,
            threads=threads,
        )

    def run(self, made: Result, toolchain: str, backend: str) -> NDArray[Any]:
        """What an artifact gives for the samples, run at two sizes."""
        got = _run(made, self.samples, toolchain, backend)
        assert got.json("run")["batch_sizes"] == [1, 9]
        return got.arrays()["scores"]

    def agrees(self, made: Result, toolchain: str, backend: str) -> None:
        """An artifact gives what torch gives."""
        got = self.run(made, toolchain, backend)
        np.testing.assert_allclose(got, self.wanted, rtol=1e-4, atol=1e-4)


def make(folder: Path) -> Made:
    """Captures the zoo's BERT by a trace, exports it, and runs the trace in torch."""
    project = zoo.write(folder / "project", "bert")
    captured = run_worker(
        "torch", "torch", "worker:capture", options=factory(PORTS, OUTPUTS), project=project
    )
    exported = run_worker(
        "onnx-export",
        "onnx",
        "worker:export",
        inputs={"artifact": captured.artifact, "io": captured.outputs["io"]},
        options={"ports": PORTS, "outputs": OUTPUTS, "format": {"opset": None}, "scheme": None},
    )
    samples = folder / "samples.npz"
    arrays.save(samples, _samples())
    wanted = _run(captured, samples, "torch", "torch").arrays()["scores"]
    assert np.ptp(wanted, axis=0).max() > 0.1
    return Made(exported, samples, wanted)


def _samples() -> arrays.Arrays:
    generator = np.random.default_rng(5)
    mask = np.ones((9, 7), np.int64)
    mask[:, 3] = 0
    mask[::2, 0] = 0
    return {
        "tokens": generator.integers(0, 32, (9, 7)),
        "mask": mask,
        "kinds": generator.integers(0, 2, (9, 7)),
    }


def _run(made: Result, samples: Path, toolchain: str, backend: str) -> Result:
    return run_worker(
        toolchain,
        "kit",
        "run.measurement:run_artifact",
        inputs={"artifact": made.artifact, "io": made.outputs["io"], "samples": samples},
        outputs={"samples": "out.npz", "run": "run.json"},
        options={
            "ports": PORTS,
            "outputs": OUTPUTS,
            "dynamic": True,
            "runtime_module": f"{backend}.runtime",
            "latency": {"warmup": 1, "runs": 2},
        },
    )
