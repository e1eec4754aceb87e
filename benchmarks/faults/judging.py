"""Builds a project, puts faults into what it made, and has the same build judge them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults import locating, projects, usual
from benchmarks.faults.graph import Array
from benchmarks.faults.kinds import KINDS
from benchmarks.faults.substitution import Substitute, substituted
from buildsys.engine import building
from buildsys.engine.listener import ignore
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.engine.results import Build
from buildsys.engine.run import Run, Settings
from buildsys.engine.session import Session, open_recipe
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import Deployable

REPOSITORY = Path(__file__).parents[2]
TOOLCHAINS = {name: name for name in ("onnx", "tflite", "openvino", "coreml")}
"""Whose interpreter puts faults into a format."""
Record = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A project that has been built.

    Attributes:
        session: Open.
        build: What came of it.
    """

    session: Session
    build: Build

    def artifact(self, verdict: Verdict) -> Path:
        """Where a deployable's artifact lies."""
        return self.build.paths[verdict.deployable.label]


def opened(recipe: Path, catalog: Catalog) -> Session:
    """A session for a recipe; a context manager."""
    return Session(open_recipe(recipe, catalog), catalog)


def built(session: Session, jobs: int) -> Made:
    """Builds all of a project."""
    return Made(session, session.build(settings=Settings(jobs=jobs, max_failures=None)))


def healthy(made: Made, verdict: Verdict) -> Record:
    """What became of an artifact without a fault."""
    record = judged(verdict)
    if verdict.status not in (Status.VERIFIED, Status.CHECKED):
        record["cause"] = (verdict.reason or "")[:300]
    if verdict.measurement is not None:
        build = made.build
        record["usual"] = _usual(made, build.run, build.graph.actions, verdict.deployable)
    return record


def with_faults(
    made: Made,
    folder: Path,
    kinds: Sequence[str],
    spots: int,
    seed: int,
    jobs: int,
    *,
    locate: bool = True,
) -> dict[str, list[Record]]:
    """Judges artifacts with faults; those that are not well without one are left out.

    Args:
        made: The project.
        folder: Where artifacts with faults go.
        kinds: Names of kinds.
        spots: How many places of each kind, as far as an artifact has them.
        seed: Draws the places.
        jobs: How many steps run at a time.
        locate: Whether they are located.

    Returns:
        Label to its faults, judged.
    """
    faults: dict[str, list[Record]] = {}
    substitutes = []
    for name, verdicts in _by_format(made).items():
        for fault in injected(made, name, verdicts, folder, kinds, spots, seed):
            label = fault["label"]
            slug = Path(fault["out"]).name.split(".")[0]
            substitutes.append(Substitute(label, slug, Path(fault["out"])))
            faults.setdefault(label, []).append(fault)
    if not substitutes:
        return {}
    graph = substituted(made.build.graph, substitutes)
    project = made.session.project(folder / "artifacts")
    settings = Settings(jobs=jobs, max_failures=None)
    engine = made.session.engine
    outcome = building.build(engine, graph, project, settings, ignore)
    found = {verdict.deployable.label: verdict for verdict in outcome.verdicts}
    sound = {verdict.deployable.label: verdict.deployable for verdict in made.build.verdicts}
    order = [fault for label in faults for fault in faults[label]]
    by_path = {substitute.path: substitute for substitute in substitutes}
    for fault in order:
        verdict = found[by_path[Path(fault["out"])].new_label]
        fault.update(judged(verdict))
        if fault["status"] != str(Status.FAILED):
            fault["usual"] = _usual(made, outcome.run, graph.actions, verdict.deployable)
            own = _digests(made.build.run, made.build.graph.actions, sound[fault["label"]])
            if _digests(outcome.run, graph.actions, verdict.deployable) == own:
                fault["effect"] = False
        measured = verdict.measurement.record if verdict.measurement is not None else {}
        fault["named"] = locating.named(fault, measured.get("weights"))
    if locate:
        _locate(made, faults, by_path)
    for fault in order:
        for key in ("label", "own", "near", "out", "number"):
            del fault[key]
    return faults


def _locate(
    made: Made, faults: Mapping[str, Sequence[Record]], substitutes: Mapping[Path, Substitute]
) -> None:
    """Asks where those are that are caught and have a place."""
    for label, found in faults.items():
        if projects.column(label) not in locating.COLUMNS:
            continue
        placed = [
            fault
            for fault in found
            if fault["status"] == str(Status.REJECTED) and fault["kind"] not in locating.EVERYWHERE
        ]
        for fault in placed:
            fault["locate"] = None
        # A tensor that is named as altered is no guess: nobody would look further.
        placed = [fault for fault in placed if fault["named"] is None]
        if placed:
            by = [substitutes[Path(fault["out"])] for fault in placed]
            locating.located(made.session, label, placed, by)


def judged(verdict: Verdict) -> Record:
    """What the checks of a build say: the bounds that fail, and the largest error."""
    record: Record = {"status": str(verdict.status)}
    if verdict.status is Status.FAILED:
        record["cause"] = (verdict.reason or "")[:300]
    record["gates"] = list(dict.fromkeys(gate.bound for gate in verdict.gates if not gate.passed))
    errors = _errors(verdict)
    if errors:
        record["signal_error"] = float(f"{max(errors):.1e}")
    return record


def injected(
    made: Made,
    format_name: str,
    verdicts: Iterable[Verdict],
    folder: Path,
    kinds: Sequence[str],
    spots: int,
    seed: int,
) -> Iterator[Record]:
    """Has a format's toolchain write artifacts with faults; one process for all of them."""
    wanted = []
    labels = {}
    for verdict in verdicts:
        label = verdict.deployable.label
        out = folder / projects.column(label) / verdict.deployable.model
        out.mkdir(parents=True, exist_ok=True)
        quantized = projects.precision(projects.column(label)) == projects.INTEGERS
        artifact = made.artifact(verdict)
        labels[str(artifact)] = label
        wanted.append(
            {
                "artifact": str(artifact),
                "seed": seed,
                "spots": spots,
                "kinds": [k for k in kinds if (k in QUANTIZED) == quantized],
                "out": str(out),
            }
        )
    request = folder / f"{format_name}.json"
    request.write_text(json.dumps({"format": format_name, "artifacts": wanted}))
    toolchain = TOOLCHAINS[format_name]
    made.session.provisioner.ensure(toolchain)
    done = subprocess.run(
        [
            made.session.provisioner.python(toolchain),
            "-s",
            "-m",
            "benchmarks.faults.inject",
            request,
        ],
        cwd=REPOSITORY,
        env={"PATH": "", "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise RuntimeError(f"no faults could be put into artifacts of {format_name}")
    for fault in json.loads(done.stdout):
        yield {"label": labels[fault.pop("artifact")], **fault}


QUANTIZED = ("saturated scale",)
"""Kinds for artifacts of integers; there are as many kinds of errors of rounding as of faults in them."""
assert set(QUANTIZED) <= set(KINDS)


def _by_format(made: Made) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for verdict in made.build.verdicts:
        if verdict.status in (Status.VERIFIED, Status.CHECKED):
            found.setdefault(verdict.deployable.format, []).append(verdict)
    return found


def _errors(verdict: Verdict) -> list[float]:
    outputs = verdict.measurement.outputs if verdict.measurement is not None else {}
    errors = [figures.signal_error for figures in outputs.values()]
    return [error for error in errors if error is not None]


def _usual(made: Made, run: Run, actions: Any, deployable: Deployable) -> list[str]:
    """The usual checks that fail."""
    label = deployable.label.partition("/")[2].partition("/")[0]
    precision = projects.precision(projects.column(label))
    got, reference = _outputs(made, run, actions, deployable)
    return [name for name, fails in usual.caught(got, reference, precision).items() if fails]


def _digests(run: Run, actions: Any, deployable: Deployable) -> list[str]:
    """Of what an artifact gives, for the samples and at the edges."""
    if deployable.evidence.measurement is None:
        raise ValueError(f"nothing ran {deployable.label}")
    inputs = actions[deployable.evidence.measurement.action].inputs
    digests = []
    for ref in (inputs["got"], inputs["got_edges"]):
        trace = run.trace(ref.action)
        if trace is None:
            raise ValueError(f"{deployable.label} was not run")
        digests.append(trace.outputs[ref.output].digest)
    return digests


def _outputs(
    made: Made, run: Run, actions: Any, deployable: Deployable
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Outputs of the artifact and of the original, from the store."""
    if deployable.evidence.measurement is None:
        raise ValueError(f"nothing ran {deployable.label}")
    inputs = actions[deployable.evidence.measurement.action].inputs
    read = []
    for key in ("got", "reference"):
        trace = run.trace(inputs[key].action)
        if trace is None:
            raise ValueError(f"{deployable.label} was not run")
        stored = trace.outputs[inputs[key].output]
        with np.load(io.BytesIO(made.session.engine.store.read(stored.digest))) as arrays:
            read.append({name: arrays[name] for name in arrays.files})
    return read[0], read[1]
