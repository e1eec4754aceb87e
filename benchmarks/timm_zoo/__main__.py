"""Builds one small model of every family of timm in four formats, and writes what became of them.

    python -m benchmarks.timm_zoo [--family FAMILY]... [--hard] [--again] [--jobs 2]

The families that are in `benchmarks/results/timm.json` are left out unless `--again`; each is written as
soon as it is done, so that a run that is stopped goes on where it was. What is rejected is built once
more with other inputs. The exit status is 1 when a rejection is not confirmed by these.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import buildsys
from benchmarks.timm_zoo import project, record
from benchmarks.timm_zoo.families import FAMILIES, HARD
from buildsys.engine.outcome.verdicts import Status
from buildsys.engine.results import Build
from buildsys.engine.run import Settings


def looked_at(family: str, jobs: int) -> dict[str, record.Cell]:
    """Builds a family; rejections are built again with other inputs."""
    row = _built(family, tuple(project.ENTRIES), project.SEED, jobs)
    rejected = [name for name, found in row.items() if found["status"] == str(Status.REJECTED)]
    if rejected:
        again = _built(family, rejected, project.OTHER_SEED, jobs)
        for name in rejected:
            row[name]["confirmed"] = record.confirmed(row[name], again[name])
    return row


def _built(family: str, formats: Sequence[str], seed: int, jobs: int) -> dict[str, record.Cell]:
    with tempfile.TemporaryDirectory(prefix="modelbuild-timm-") as folder:
        recipe = buildsys.load(project.write(Path(folder), family, formats, seed))
        settings = Settings(jobs=jobs, max_failures=None)
        build = buildsys.build(recipe, settings=settings)
    seconds = _seconds(build)
    return {
        verdict.deployable.format: record.cell(verdict, seconds.get(verdict.deployable.label))
        for verdict in build.verdicts
    }


def _seconds(build: Build) -> dict[str, float]:
    """How long each deployable's comparison of weights took."""
    found: dict[str, float] = {}
    for action in build.graph.actions.values():
        trace = build.run.trace(action.id)
        if action.rule == "verify.weights" and trace is not None:
            found |= dict.fromkeys(action.labels, trace.seconds)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds, writes, and says which rejections nothing confirms."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.timm_zoo",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--family", action="append", choices=list(FAMILIES), help="default: all")
    parser.add_argument("--hard", action="store_true", help="those that were hard once")
    parser.add_argument("--again", action="store_true", help="also what was built before")
    parser.add_argument("--jobs", type=int, default=2, help="steps at a time; default: 2")
    given = parser.parse_args(arguments)
    known: record.Record = json.loads(record.RESULTS.read_text()) if record.RESULTS.exists() else {}
    wanted = given.family or (HARD if given.hard else tuple(FAMILIES))
    done: record.Record = {}
    for family in wanted:
        if family in known and not given.again:
            continue
        done[family] = known[family] = looked_at(family, given.jobs)
        ordered = dict(sorted(known.items()))
        record.RESULTS.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
        record.write(ordered)
        told = ", ".join(f"{name} {found['status']}" for name, found in known[family].items())
        print(f"{family:26} {told}", flush=True)
    alarms = record.alarms({name: known[name] for name in wanted if name in known})
    for line in alarms:
        print(f"rejected, and not confirmed: {line}", file=sys.stderr)
    return 1 if alarms else 0


if __name__ == "__main__":
    sys.exit(main())
