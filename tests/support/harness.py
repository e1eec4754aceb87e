"""Runs a step as the engine does: a new process of the toolchain's Python on the worker host."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import buildsys
from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.contract import Contract
from tests.support import toolchain

ROOT = Path(buildsys.__file__).parent
STEPS = Path(tempfile.mkdtemp(prefix="modelbuild-steps-"))
atexit.register(shutil.rmtree, STEPS, ignore_errors=True)


@dataclass(frozen=True)
class Result:
    """A finished step."""

    outputs: Mapping[str, Path]
    notes: list[str]
    error: dict[str, Any] | None
    log: str
    seconds: float

    @property
    def artifact(self) -> Path:
        return self._output("artifact")

    @property
    def bytes(self) -> bytes:
        return self.artifact.read_bytes()

    @property
    def io(self) -> Contract:
        return Contract.read(self._output("io"))

    def arrays(self, name: str = "samples") -> arrays.Arrays:
        return arrays.load(self._output(name))

    def json(self, name: str) -> Any:
        return json.loads(self._output(name).read_text())

    def _output(self, name: str) -> Path:
        assert self.error is None, f"{self.error}\n{self.log}"
        return self.outputs[name]

    @property
    def message(self) -> str:
        """The error's message; the step must have failed for a reason it explains."""
        assert self.error is not None, "the step did not fail"
        return str(self.error["message"])

    @property
    def hint(self) -> str:
        assert self.error is not None, "the step did not fail"
        return str(self.error["hint"])

    @property
    def field(self) -> str:
        assert self.error is not None, "the step did not fail"
        return str(self.error["field"])


def interpreter(name: str) -> Path:
    """The Python of a toolchain, which is made where it is missing."""
    return toolchain.python(name)


def run_worker(
    toolchain_name: str,
    backend: str,
    worker: str,
    *,
    inputs: Mapping[str, Path] | None = None,
    outputs: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    project: Path | None = None,
    hash_seed: str = "0",
    threads: int = 2,
    left_behind: str | None = None,
) -> Result:
    """Runs `worker` (`module:function`) of `backend` in a folder of its own.

    Args:
        toolchain_name: Whose Python.
        backend: The folder below `buildsys/backends`.
        worker: The function.
        inputs: Files and folders by name.
        outputs: Output name to file name; by default an artifact with its contract.
        options: The request's.
        project: The recipe's folder, where the model's own code runs.
        hash_seed: `PYTHONHASHSEED` of the process.
        threads: The request's.
        left_behind: A folder in the scratch folder, as an earlier run of the step may leave it.
    """
    python = interpreter(toolchain_name)
    folder = Path(tempfile.mkdtemp(dir=STEPS))
    for name in ("scratch", "out"):
        (folder / name).mkdir()
    if left_behind is not None:
        (folder / "scratch" / left_behind).mkdir(parents=True)
    named = outputs or {"artifact": "model", "io": "io.json"}
    made = {name: folder / "out" / filename for name, filename in named.items()}
    spec = {
        "action": str(folder),
        "backend": backend,
        "backends": str(ROOT / "backends"),
        "inputs": {name: str(path) for name, path in (inputs or {}).items()},
        "options": dict(options or {}),
        "outputs": {name: str(path) for name, path in made.items()},
        "project": str(project) if project else None,
        "scratch": str(folder / "scratch"),
        "threads": threads,
        "worker": worker,
    }
    (folder / "request.json").write_text(json.dumps(spec))
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder / "scratch"),
        "TMPDIR": str(folder / "scratch"),
        "PYTHONHASHSEED": hash_seed,
        "OMP_NUM_THREADS": str(threads),
        "SOURCE_DATE_EPOCH": "0",
    }
    started = os.times().elapsed
    done = subprocess.run(
        [
            python,
            "-s",
            "-P",
            ROOT / "toolchains" / "inside" / "program.py",
            folder / "request.json",
        ],
        cwd=folder / "scratch",
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=False,
    )
    seconds = os.times().elapsed - started
    assert (folder / "result.json").exists(), done.stdout
    result = json.loads((folder / "result.json").read_text())
    if not result["ok"]:
        assert "error" in result, f"the worker crashed: {result['crash']}\n{done.stdout}"
        return Result(made, [], result["error"], done.stdout, seconds)
    return Result(made, result["notes"], None, done.stdout, seconds)


def port(
    name: str,
    shape: list[int | str],
    dtype: str = "float32",
    *,
    span: list[int] | None = None,
    **dims: tuple[int, int, int],
) -> dict[str, Any]:
    """An input as the planner declares it; `dims` are (min, max, example), by default (1, 64, 1)."""
    described = {s: dims.get(s, (1, 64, 1)) for s in shape if isinstance(s, str)}
    return {
        "name": name,
        "shape": shape,
        "dtype": dtype,
        "dims": {s: {"min": d[0], "max": d[1], "example": d[2]} for s, d in described.items()},
        "range": span,
        "layout": "NCHW" if len(shape) == 4 else None,
    }


def factory(
    ports: list[dict[str, Any]], outputs: list[str], entry: str = "model:build", **more: Any
) -> dict[str, Any]:
    """The options of a step that starts at a factory."""
    source = {"kind": "factory", "factory": entry, "args": more.pop("args", {})}
    return {"source": source, "ports": ports, "outputs": outputs, "method": "trace", **more}
