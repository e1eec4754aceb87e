"""Builds ONNX's own backend models as `onnx` and `openvino`, chunk by chunk, and records what became of each.

`python -m tests.backends.onnx.corpus.models_sweep` goes on where it was stopped; with `--again NAME...` these
are built again. The chunks are strided: after any number of them, the record is a fair sample of all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests import sweeps
from tests.e2e.project import Project
from tests.support import toolchain

HERE = Path(__file__).parent
MAKER = HERE / "backend_models.py"
ALONE = HERE / "openvino_alone.py"
SOURCES = (sweeps.REPOSITORY / "buildsys", MAKER, ALONE)
"""What decides a record: the project, the models as sources, and what runs OpenVINO alone."""
FORMATS = ("onnx", "openvino")
CHUNKS = 37
"""Some two dozen models each."""
Record = dict[str, Any]


def record() -> Path:
    """Where the record of the code as it is now is kept."""
    return sweeps.place("onnx-models", SOURCES)


def names() -> dict[str, str | None]:
    """All models, and why each is no source of a recipe; `None` where it is one."""
    found: dict[str, str | None] = json.loads(_run(MAKER, _data()))
    return found


def run(found: Path, wanted: Iterable[str], store: Path, chunks: int = 1) -> None:
    """Builds the models that the record lacks.

    Args:
        found: The record, which grows.
        wanted: The models' names.
        store: Where the builds keep what they made.
        chunks: How many builds.
    """
    sweeps.mend(found)
    ordered = sorted(wanted)
    for start in range(chunks):
        done = {each["model"] for each in sweeps.read(found)}
        chunk = [name for name in ordered[start::chunks] if name not in done]
        if chunk:
            sweeps.add(found, built(chunk, store))
            print(f"{len(done) + len(chunk)} models are recorded", file=sys.stderr, flush=True)


def built(chosen: Sequence[str], store: Path) -> list[Record]:
    """Builds models; runs those that are no verified `openvino` by OpenVINO alone as well."""
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        path = Path(folder) / "project"
        pruned = json.loads(_run(MAKER, _data(), path, ",".join(FORMATS), *chosen))
        done = Project(path, store).run("build", "-k")
        report = path / "artifacts" / "report.json"
        if not report.exists():
            raise RuntimeError(f"the build wrote no report:\n{done.stdout}{done.stderr}")
        deployables = json.loads(report.read_text())["deployables"]
        records = {name: _record(name, deployables, pruned.get(name, [])) for name in chosen}
        strays = [n for n, each in records.items() if each["openvino"]["status"] != "verified"]
        alone = json.loads(_run(ALONE, path, *strays))
    for name, told in alone.items():
        records[name]["openvino"]["alone"] = told
    return list(records.values())


def _record(name: str, deployables: list[Record], pruned: list[str]) -> Record:
    kept = ("status", "reason", "notes")
    found: Record = {"model": name, "pruned": pruned}
    for form in FORMATS:
        (each,) = [d for d in deployables if d["label"] == f"server/{name}.{form}"]
        found[form] = {key: each[key] for key in kept}
    return found


def _data() -> Path:
    python = toolchain.python("openvino")
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    return packages / "onnx" / "backend" / "test" / "data"


def _run(script: Path, *arguments: object) -> str:
    """Runs a script in the toolchain `openvino`, whose onnx carries all of the models."""
    command = [toolchain.python("openvino"), "-W", "ignore", script, *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{script.name} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def main(arguments: Sequence[str]) -> None:
    """Sweeps over all, or builds some again."""
    found = record()
    again = set(arguments[1:]) if arguments[:1] == ("--again",) else set()
    if again:
        kept = [each for each in sweeps.read(found) if each["model"] not in again]
        found.unlink()
        sweeps.add(found, kept)
    with tempfile.TemporaryDirectory(prefix="models-store-") as store:
        sources = [name for name, why in names().items() if why is None]
        run(found, again or sources, Path(store), 1 if again else CHUNKS)
    print(found)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
