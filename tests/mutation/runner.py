"""Stands in for workers: what a step gives is a function of its manifest, and nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from buildsys.engine.executors import Done, Job, Outcome
from buildsys.engine.executors.executor import Capacity
from buildsys.engine.executors.job import JobSpec
from buildsys.engine.staleness.keys import canonical
from buildsys.store import Store
from buildsys.toolchains.inside.program import discovered_digest

READS = {
    "model": ("model.py", "layers.py", "./*.py"),
    "other": ("other.py", "layers.py", "./*.py"),
    "text.encoder": (
        *("text/__init__.py", "text/encoder.py", "text/words.py", "text/words.txt"),
        *("./*.py", "text/*.py", "text/"),
    ),
    "wide": ("wide.py", "./*.py"),
    "training": ("training.py", "./*.py"),
    "loading": ("loading.py", "layers.py", "./*.py"),
    "metrics": ("metrics.py", "./*.py"),
}
"""What a module of the project imports, opens and lists, in the words of discovery."""
FIGURES = {
    "signal_error": 1e-4,
    "max_abs": 1e-4,
    "max_rel": 1e-4,
    "mean_abs": 1e-4,
    "rmse": 1e-4,
    "cosine": 0.999,
    "sqnr_db": 60.0,
    "top1_agreement": 1.0,
}
INTACT = {
    "nan_count": 0,
    "inf_count": 0,
    "nonfinite_mismatch": 0,
    "shape_match": True,
    "dtype_match": True,
    "dtype": "float32",
    "reference_dtype": "float32",
}


class Runner:
    """The executor.

    Attributes:
        ran: Ids of the actions that it was given.
    """

    def __init__(self, root: Path) -> None:
        self.processes_started = 0
        self.ran: list[str] = []
        self._store = Store(root)

    def prepare(self, spec: JobSpec, done: Callable[[], None]) -> None:
        """There is nothing to import."""
        done()

    def capacity(self) -> Capacity:
        """As much as a build asks for."""
        return Capacity(slots=2, memory=1 << 50)

    def machine(self) -> str:
        """No step measures time."""
        return "toy"

    def stop(self) -> None:
        """There is nothing to kill."""

    def retire(self, environment: str) -> None:
        """Nothing is kept alive."""

    def close(self) -> None:
        """Nothing is kept alive."""

    def run(self, job: Job) -> Outcome:
        """Writes each declared output, by what the manifest says."""
        started = time.time_ns()
        self.ran.append(job.action.id)
        found = {name: discovered_digest(str(job.spec.project), name) for name in _reads(job)}
        said = hashlib.sha256(canonical([job.manifest, found])).hexdigest()
        folder = Path(tempfile.mkdtemp(prefix="run-"))
        try:
            stored = {}
            for output in job.action.outputs:
                path = folder / output.filename
                if output.kind == "tree":
                    path.mkdir()
                    (path / "weights.bin").write_text(said)
                    (path / "model.txt").write_text(f"{output.name} {said}")
                else:
                    path.write_text(_text(job, output.name, said))
                stored[output.name] = self._store.put(path)
        finally:
            shutil.rmtree(folder)
        return Done(stored, (), found, started, 0.01, 1, Path("log"))


def _reads(job: Job) -> tuple[str, ...]:
    if not job.action.user_code:
        return ()
    options = job.action.options
    entries = [options["python"] if "python" in options else options["source"]["factory"]]
    if (options.get("settings") or {}).get("train"):
        entries.append(options["settings"]["train"]["python"])
    return tuple(dict.fromkeys(n for entry in entries for n in READS[entry.partition(":")[0]]))


def _text(job: Job, name: str, said: str) -> str:
    """The contents of a file; figures and contracts are what verdicts can read."""
    record: dict[str, Any] = {"of": said}
    if name == "measurement":
        options = job.action.options
        record["outputs"] = {output: {**FIGURES, **INTACT} for output in options["outputs"]}
        metric = options["metric"] or ("python" if "metric" in job.spec.inputs else None)
        record["metric"] = metric and {"name": metric, "value": 0.9, "reference": 0.9}
        record["latency_ms"] = {"p50": 1.0, "p95": 2.0}
        if "floor" in job.spec.inputs:
            costs = {output: {"signal_error": 1e-5} for output in options["outputs"]}
            record["floor"] = {"float32": costs, "float16": costs}
    elif name == "ranges":
        record |= {"method": "min-max", "runs": 1, "tried": None, "tensors": []}
    elif name == "benchmark":
        beside = {"ratio": 1.0, "low": 0.9, "high": 1.1, "rounds": 200}
        record["against_float"] = beside if "float_artifact" in job.spec.inputs else None
    elif name == "check":
        record["reason"] = "looked into, not run"
    elif name == "io":
        record |= {"inputs": [], "outputs": []}
    return json.dumps(record)
