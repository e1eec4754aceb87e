"""How Core ML packages of the zoo are evaluated: how many, how right they are, how long it takes.

    python -m benchmarks.evaluator [--model ARCHITECTURE]... [--work FOLDER] [--json FILE]

Each architecture is built as `coreml` in float32, in float16 and with weights of 8 bits by the product, with
its default bounds. Then one process of the coreml toolchain takes the processor time, on one thread, of the
original module, of the float32 package without rounding, and of the float16 package with it, in turns; a
ratio is that of two medians. It also compares the operations of the first two, and what the third gives
with what it gives once coremltools has decompressed it. Results go to `benchmarks/results/evaluator.json`
and from there to `docs/coreml.md`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import buildsys
from benchmarks import evaluator_document, machine
from benchmarks.zoo import project
from benchmarks.zoo.architectures import ARCHITECTURES
from buildsys.engine.outcome.placing import REJECTED
from buildsys.engine.outcome.verdicts import Verdict
from buildsys.engine.run import Settings
from buildsys.engine.session import cache_root, toolchains_root
from buildsys.planner.catalog import Catalog
from buildsys.toolchains import Provisioner

Row = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results" / "evaluator.json"
DOCUMENT = REPOSITORY / "docs" / "coreml.md"
RECURRENT = ("gru", "crnn")
"""Architectures whose package holds a loop: Core ML has no GRU."""
MOST = {"static_median": 3.0, "recurrent_largest": 20.0}
"""Times torch's own."""
LEAST = 0.9
"""The part of the packages that must be evaluated."""


def built(models: Sequence[str], folder: Path) -> list[Verdict]:
    """Builds the packages of each architecture in a folder."""
    entries: list[project.Entry] = [
        {"format": "coreml"},
        {"format": "coreml", "quantization": "half"},
        {"format": "coreml", "quantization": "w8"},
    ]
    path = project.write(folder, models, entries)
    recipe = yaml.safe_load(path.read_text())
    recipe["quantization"] = {
        "half": {"scheme": "float16"},
        "w8": {"scheme": "weight-only", "bits": 8},
    }
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return buildsys.build(buildsys.load(path), settings=Settings(max_failures=None)).verdicts


def interpreter() -> Path:
    """The Python of the coreml toolchain."""
    provisioner = Provisioner(toolchains_root(cache_root()), Catalog.load().toolchains)
    provisioner.ensure("coreml", lambda line: print(line, file=sys.stderr))
    return provisioner.python("coreml")


def timed(packages: Mapping[str, Mapping[str, Path]], folder: Path) -> dict[str, Row]:
    """Times architectures in one process of the toolchain.

    Args:
        packages: Architecture to its packages, `float32` and `float16`.
        folder: The project.

    Returns:
        Architecture to `torch_ms`, and for each package the ratio of medians.
    """
    asked = {name: {each: str(p) for each, p in paths.items()} for name, paths in packages.items()}
    done = subprocess.run(
        [interpreter(), "-s", "-m", "benchmarks.evaluator_times", str(folder)],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    rows: dict[str, Row] = json.loads(done.stdout)
    return rows


def summary(rows: Mapping[str, Row]) -> Row:
    """The median over graphs without a loop, and the largest over those with one."""
    static = [row for name, row in rows.items() if name not in RECURRENT]
    looping = [row for name, row in rows.items() if name in RECURRENT]
    return {
        precision: {
            "static_median": round(statistics.median(row[precision] for row in static), 2),
            "static_largest": max(row[precision] for row in static),
            "recurrent_largest": max((row[precision] for row in looping), default=None),
        }
        for precision in ("float32", "float16")
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds, times, writes; 1 where a bound does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluator",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--model", action="append", choices=list(ARCHITECTURES))
    parser.add_argument("--work", type=Path, help="keep the project and its packages here")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results go")
    given = parser.parse_args(arguments)
    models = given.model or list(ARCHITECTURES)
    with tempfile.TemporaryDirectory(prefix="modelbuild-evaluator-") as temporary:
        folder = given.work or Path(temporary)
        verdicts = built(models, folder)
        made = [v for v in verdicts if v.artifact is not None]
        evaluated = [v for v in made if v.measurement is not None]
        packages: dict[str, dict[str, Path]] = {}
        for verdict in evaluated:
            precision = verdict.deployable.quantized.scheme or "float32"
            packages.setdefault(verdict.deployable.model, {})[precision] = _placed(folder, verdict)
        whole = {n: each for n, each in packages.items() if {"float32", "float16"} <= each.keys()}
        rows = timed(whole, folder)
    found = {
        "machine": machine.described(),
        "packages": len(made),
        "evaluated": len(evaluated),
        "not_made": sorted(v.deployable.label for v in verdicts if v.artifact is None),
        "not_evaluated": {v.deployable.label: v.reason for v in made if v.measurement is None},
        "summary": summary(rows),
        "ratios": rows,
        "verdicts": {v.deployable.label: judged(v) for v in evaluated},
    }
    given.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if given.json == RESULTS:
        DOCUMENT.write_text(evaluator_document.document(found))
    print(json.dumps({k: v for k, v in found.items() if k not in ("ratios", "verdicts")}, indent=1))
    missed = beyond(found)
    for line in missed:
        print(line, file=sys.stderr)
    return 1 if missed else 0


def judged(verdict: Verdict) -> Row:
    """A verdict as it is kept, with the worst output's error and multiple of the floor."""
    assert verdict.measurement is not None
    errors = [figures.signal_error for figures in verdict.measurement.outputs.values()]
    known = [error for error in errors if error is not None]
    ratios = [g.value for g in verdict.gates if g.bound == "floor_ratio" and g.value is not None]
    weights = verdict.measurement.weights
    return {
        "status": str(verdict.status),
        "reason": verdict.reason if str(verdict.status) == "rejected" else None,
        "signal_error": None if known != errors else float(f"{max(known):.2g}"),
        "floor_ratio": round(max(ratios), 2) if ratios else None,
        "weights_explained": weights.share_of_bytes if weights else None,
    }


def beyond(found: Row) -> list[str]:
    """What falls short of the bounds, in words."""
    missed = []
    if found["evaluated"] < LEAST * found["packages"]:
        missed.append(f"{found['evaluated']} of {found['packages']} packages are evaluated")
    missed += [
        f"{label} is rejected: {each['reason']}"
        for label, each in found["verdicts"].items()
        if each["status"] == "rejected" and not label.endswith("-w8")
    ]
    missed += [
        f"{name}: coremltools decompresses it to something else"
        for name, row in found["ratios"].items()
        if row["decoded_equal"] is False
    ]
    for precision, figures in found["summary"].items():
        for figure, most in MOST.items():
            if figures[figure] is not None and figures[figure] > most:
                missed.append(
                    f"{precision}: {figure} is {figures[figure]} times torch's, not {most}"
                )
    return missed


def _placed(folder: Path, verdict: Verdict) -> Path:
    wanted = verdict.deployable
    placed = Path(wanted.target) / wanted.filename
    kept = folder / "artifacts" / placed
    return kept if kept.exists() else folder / "artifacts" / REJECTED / placed


if __name__ == "__main__":
    sys.exit(main())
