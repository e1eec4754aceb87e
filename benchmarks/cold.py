"""A cold build of `recipes/` against a plain script that does the same one after the other.

    python -m benchmarks.cold [--runs 3] [--jobs 1,2]

Toolchains are ready, the store is empty. The build captures, converts, quantizes, runs, compares and
places; the script (`benchmarks/sequential.py`) does what of that a careful engineer would. Runs of both
take turns. Wall and CPU seconds are medians, child processes included.

Where the time of a build goes is taken from its events: what converters did (`convert`), what runs
and comparisons did (`measure`), waiting for a worker that imports its libraries (`wait`), bringing
inputs and outputs (`files`), and the `rest`, which is ours: reading, planning, keys, placing. With one
job the parts add up to the wall time; with more they may exceed it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import machine, sequential, timing

PARTS = ("convert", "measure", "wait", "files", "rest")
MEASURING = ("verify.", "data.", "torch.reference")


def measures(rule: str) -> bool:
    """Whether a rule's steps run or compare something, and convert nothing."""
    return rule.startswith(MEASURING) or rule.endswith(".run")


def split(lines: Iterable[str], wall: float) -> dict[str, float]:
    """Where a build's time went, by the events of `build --json`.

    Args:
        lines: The events, one JSON object a line.
        wall: Seconds of the whole command.
    """
    found = dict.fromkeys(PARTS, 0.0)
    for line in lines:
        event = json.loads(line)
        if event["event"] != "action_finished" or event["cached"]:
            continue
        phases = event.get("phases", {"work": event["seconds"]})
        found["measure" if measures(event["rule"]) else "convert"] += phases.get("work", 0.0)
        found["wait"] += phases.get("wait", 0.0)
        found["files"] += phases.get("inputs", 0.0) + phases.get("store", 0.0)
    found["rest"] = wall - sum(found.values())
    return found


def built(jobs: int) -> dict[str, float]:
    """Builds all recipes on an empty store."""
    total = dict.fromkeys(("wall", "cpu", *PARTS), 0.0)
    with tempfile.TemporaryDirectory(prefix="modelbuild-cold-") as temporary:
        folder = Path(temporary)
        environment = os.environ | {"MODELBUILD_CACHE": str(folder / "store")}
        for name in sequential.MODELS:
            recipe = sequential.RECIPES / name / "deploy.yaml"
            log = folder / f"{name}.jsonl"
            command = [sys.executable, "-m", "buildsys.cli", "build", "--json", f"-j{jobs}"]
            command += ["-f", str(recipe), "--out", str(folder / "artifacts" / name)]
            cost = timing.run(
                command, sequential.REPOSITORY, log=log, limit=1800, environment=environment
            )
            lines = log.read_text(errors="replace").splitlines()
            if cost.exit != 0:
                sys.exit(f"{name} failed with status {cost.exit}:\n" + "\n".join(lines[-20:]))
            total["wall"] += cost.wall
            total["cpu"] += cost.cpu
            for part, seconds in split((x for x in lines if x.startswith("{")), cost.wall).items():
                total[part] += seconds
    return total


def table(rows: dict[str, dict[str, float]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| | wall s | CPU s | of the script's wall | " + " | ".join(PARTS) + " |",
        "|---" * (4 + len(PARTS)) + "|",
    ]
    for name, row in rows.items():
        ratio = row["wall"] / rows["script"]["wall"]
        parts = " | ".join(f"{row[part]:.1f}" if part in row else "" for part in PARTS)
        lines.append(f"| {name} | {row['wall']:.1f} | {row['cpu']:.1f} | {ratio:.2f} | {parts} |")
    return "\n".join(lines)


def main() -> None:
    """Prints a table, and writes JSON where it is asked for."""
    parser = argparse.ArgumentParser(description="Times cold builds against a plain script.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--jobs", default="1,2", help="with commas")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    given = parser.parse_args()
    pythons = sequential.interpreters()
    # The builds must find the very toolchains that the script uses, whatever the store.
    os.environ["MODELBUILD_TOOLCHAINS"] = str(_root(pythons["torch"]))
    runs: dict[str, list[dict[str, Any]]] = {}
    for _ in range(given.runs):
        for jobs in map(int, given.jobs.split(",")):
            runs.setdefault(f"build -j{jobs}", []).append(built(jobs))
        with tempfile.TemporaryDirectory(prefix="modelbuild-sequential-") as work:
            runs.setdefault("script", []).append(sequential.performed(Path(work), pythons))
    rows = {}
    for name, several in runs.items():
        numbers = [key for key, value in several[0].items() if isinstance(value, float)]
        rows[name] = {k: round(statistics.median(run[k] for run in several), 2) for k in numbers}
    print(table(rows))
    if given.json:
        last = runs["script"][-1]
        record = {
            "machine": machine.described(),
            "rows": rows,
            "stages": last["stages"],
            "figures": last["figures"],
        }
        given.json.write_text(json.dumps(record, indent=1) + "\n")


def _root(python: Path) -> Path:
    """The folder of all toolchains, from the interpreter of one."""
    return python.parent.parent.parent


if __name__ == "__main__":
    main()
