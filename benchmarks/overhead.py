"""Our own time beside the workers', for each action that runs.

    python -m benchmarks.overhead [--actions 200] [--runs 3] [--target MILLISECONDS]

A cold build of the copying pipeline with `-j1`, so that nothing overlaps: the wall time of the build
less the time of all workers, divided by the actions. Beside it the CPU time of the coordinating
process alone. With `--target`, the exit status is 1 when the first figure is above it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import copying_backend, machine, shape


def measured(folder: Path, store: Path) -> dict[str, float]:
    """Builds the recipe in a folder, in this process.

    Returns:
        `actions` that ran, and in milliseconds an action: `own` (the wall time less the workers'),
        `cpu` of this process, and `worker`.
    """
    from buildsys.engine.events import Event
    from buildsys.engine.run import Settings
    from buildsys.engine.session import Session, open_recipe
    from buildsys.planner.catalog import Catalog

    catalog = Catalog.load([copying_backend.load()])
    recipe = open_recipe(folder / "deploy.yaml", catalog, os.environ)
    workers = 0.0
    ran = 0

    def listen(event: Event) -> None:
        nonlocal workers, ran
        fields = event.to_json()
        if fields["event"] == "action_finished" and not fields["cached"]:
            ran += 1
            # Where an event says what an action's time was spent on, only the work is the worker's.
            workers += fields.get("phases", {}).get("work", fields["seconds"])

    with Session(recipe, catalog, root=store) as session:
        before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        build = session.build(settings=Settings(jobs=1), listener=listen)
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_SELF)
    if build.exit or not ran:
        sys.exit("the build failed")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "actions": ran,
        "own": (wall - workers) / ran * 1000,
        "cpu": cpu / ran * 1000,
        "worker": workers / ran * 1000,
    }


def table(rows: list[dict[str, float]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| actions | own ms an action | coordinator's CPU ms | worker ms |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['actions']:.0f} | {row['own']:.1f} | {row['cpu']:.1f} | {row['worker']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Prints the figures, and writes JSON where it is asked for."""
    parser = argparse.ArgumentParser(description="Times our own work beside the workers'.")
    parser.add_argument("--actions", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--target", type=float, help="the most milliseconds that are allowed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--one", nargs=2, metavar=("PROJECT", "STORE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(*map(Path, given.one))))
        return
    runs = []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory(prefix="modelbuild-overhead-") as temporary:
            project, store = Path(temporary) / "project", Path(temporary) / "store"
            shape.write("modelbuild", given.actions, project)
            command = [
                sys.executable,
                "-m",
                "benchmarks.overhead",
                "--one",
                str(project),
                str(store),
            ]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(done.stdout))
    row = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print(table([row]))
    if given.json:
        record = {"machine": machine.described(), "rows": [row]}
        given.json.write_text(json.dumps(record, indent=1) + "\n")
    if given.target is not None and row["own"] > given.target:
        sys.exit(1)


if __name__ == "__main__":
    main()
