"""Builds every architecture of the zoo in every format, and writes what became of them.

    python -m benchmarks.zoo [--format FORMAT]... [--model ARCHITECTURE]... [--jobs 2]

Formats are all that a target may ask for. Results go to `benchmarks/results/zoo.json`, where only the
cells that were built change, and from there to `docs/coverage.md`. Failing steps stop nothing else; the
exit status is 1 when a cell that must be verified is not.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import buildsys
from benchmarks.zoo import coverage, project, two_parts
from benchmarks.zoo.architectures import ARCHITECTURES
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.engine.run import Settings
from buildsys.planner.catalog import Catalog, load_built_in
from buildsys.planner.conversion import routes

HALVES = ("coreml",)
"""Formats that people ship in float16: `--format coreml-float16`."""


def built(
    models: Sequence[str], entries: Sequence[project.Entry], folder: Path, jobs: int
) -> list[Verdict]:
    """Writes a project into a folder and builds it; one verdict a cell."""
    recipe = buildsys.load(project.write(folder, models, entries))
    return buildsys.build(recipe, settings=Settings(jobs=jobs, max_failures=None)).verdicts


def other_routes(verdicts: Sequence[Verdict], catalog: Catalog) -> list[project.Entry]:
    """What failed, by the words of `route:` that its format has beside the one that was taken."""
    failed: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.status is Status.FAILED and verdict.deployable.quantized.scheme is None:
            failed.setdefault(verdict.deployable.format, []).append(verdict.deployable.model)
    entries = []
    for name, models in failed.items():
        taken = routes.cheapest(catalog, "source:factory", "trace", (name, None))[-1].rule.route
        for way in routes.ways(catalog, name):
            if way != taken:
                entries.append({"format": name, "route": way, "models": models, "name": way})
    return entries


def written(record: coverage.Record, results: Path, document: Path) -> None:
    """Writes the results, and the document that is made of them."""
    results.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    two_parts.write(document, zoo=coverage.document(record))


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds, writes, and says what is not verified."""
    catalog = Catalog.load(load_built_in())
    formats = catalog.deployable_formats()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.zoo",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    halves = [f"{name}-float16" for name in HALVES]
    parser.add_argument(
        "--format", action="append", choices=[*formats, *halves], help="default: all but float16"
    )
    parser.add_argument(
        "--model", action="append", choices=list(ARCHITECTURES), help="default: all"
    )
    parser.add_argument("--jobs", type=int, default=2, help="steps at a time; default: 2")
    parser.add_argument("--work", type=Path, help="keep the project and its artifacts here")
    given = parser.parse_args(arguments)
    models = given.model or list(ARCHITECTURES)
    record = json.loads(coverage.RESULTS.read_text()) if coverage.RESULTS.exists() else {}
    with tempfile.TemporaryDirectory(prefix="modelbuild-zoo-") as temporary:
        for name in given.format or formats:
            # One format after the other, each written at once: a run may take long, and be stopped.
            folder = given.work or Path(temporary)
            base, _, scheme = name.partition("-")
            entry: project.Entry = {"format": base}
            if scheme:
                entry["quantization"] = scheme
            verdicts = built(models, [entry], folder, given.jobs)
            rerouted: list[tuple[str, Verdict]] = []
            for entry in other_routes(verdicts, catalog):
                second = built(entry["models"], [entry], folder, given.jobs)
                rerouted += [(entry["route"], verdict) for verdict in second]
            record = coverage.updated(record, verdicts, rerouted)
            written(record, coverage.RESULTS, coverage.DOCUMENT)
            for verdict in verdicts:
                found = coverage.cell(verdict)
                label, cause = verdict.deployable.label, found.get("cause", "")
                print(f"{label:40} {found['status']:10} {cause}", flush=True)
    missing = coverage.missing(record)
    for line in missing:
        print(line, file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
