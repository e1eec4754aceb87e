"""Puts faults into artifacts of several formats, and writes what a build catches of them.

    python -m benchmarks.faults [--model MODEL]... [--column COLUMN]... [--spots 1] [--jobs 2]

Each model is built, its artifacts get faults, and each of those is judged by the very steps that judged
the sound one, by default bounds. Results go to `benchmarks/results/faults.json`, where only the columns
of the models that were run change, and from there to `docs/verification.md`. The exit status is 1 when
fewer faults are caught or located than must be, or a sound artifact is rejected.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.faults import document, judging, projects
from benchmarks.faults.kinds import KINDS
from buildsys.planner.catalog import Catalog, load_built_in

SEEDS = (1, 2)
"""Of the samples that sound artifacts are judged on; faults are judged on the first."""


def looked_at(
    model: str,
    columns: Sequence[str],
    work: Path,
    catalog: Catalog,
    spots: int,
    jobs: int,
    *,
    locate: bool = True,
    kinds: Sequence[str] = tuple(KINDS),
) -> dict[str, document.Record]:
    """Builds a model, and judges it with and without faults.

    Args:
        model: A name of `document.MODELS`.
        columns: Names of `projects.ENTRIES`.
        work: A folder of its own.
        catalog: All backends.
        spots: Places of each kind of fault.
        jobs: Steps at a time.
        locate: Whether faults are located.
        kinds: Of faults.
    """
    found: dict[str, document.Record] = {}
    for seed in SEEDS:
        recipe = projects.write(work / f"seed-{seed}", model, columns, seed)
        with judging.opened(recipe, catalog) as session:
            made = judging.built(session, jobs)
            for verdict in made.build.verdicts:
                column = projects.column(verdict.deployable.label)
                cell = found.setdefault(column, {"healthy": {}, "faults": []})
                cell["healthy"][str(seed)] = judging.healthy(made, verdict)
            if seed == projects.SEED:
                folder = work / "faults"
                folder.mkdir()
                judged = judging.with_faults(made, folder, kinds, spots, seed, jobs, locate=locate)
                for label, faults in judged.items():
                    found[projects.column(label)]["faults"] = faults
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs, writes, and says what falls short."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--model", action="append", choices=document.MODELS, help="default: all")
    parser.add_argument(
        "--column", action="append", choices=list(projects.ENTRIES), help="default: all"
    )
    parser.add_argument("--spots", type=int, default=1, help="places of a kind; default: 1")
    parser.add_argument("--jobs", type=int, default=2, help="steps at a time; default: 2")
    parser.add_argument(
        "--no-locate", action="store_true", help="only judge: to locate faults takes longest"
    )
    given = parser.parse_args(arguments)
    catalog = Catalog.load(load_built_in())
    columns = given.column or list(projects.ENTRIES)
    results = document.RESULTS
    record = json.loads(results.read_text()) if results.exists() else {}
    for model in given.model or document.MODELS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="modelbuild-faults-") as work:
            found = looked_at(
                model,
                columns,
                Path(work),
                catalog,
                given.spots,
                given.jobs,
                locate=not given.no_locate,
            )
        # Each model is written at once: a run may take long, and be stopped.
        record = document.updated(record, model, found)
        results.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        document.DOCUMENT.write_text(document.document(record))
        faults = [fault for cell in found.values() for fault in cell["faults"]]
        count = sum(map(document.caught, faults))
        seconds = time.monotonic() - started
        print(f"{model:16} {count} of {len(faults)} caught, {seconds:.0f} s", flush=True)
    missing = document.missing(record)
    for line in missing:
        print(line, file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
