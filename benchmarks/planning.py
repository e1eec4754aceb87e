"""Time and memory of planning: linear in the number of actions.

    python -m benchmarks.planning [--sizes 1000,10000,100000] [--runs 3]

Three steps, each in the fresh process that does them all: reading the recipe (`load`), making the
graph (`graph`), and what `modelbuild plan` does on an empty store (`plan`: a graph, the state of each
action, and the reasons). Times are of the CPU, medians; memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import copying_backend, machine, shape

STEPS = ("load", "graph", "plan")


def measured(folder: Path, store: Path) -> dict[str, float]:
    """Plans the recipe in a folder, in this process.

    Returns:
        CPU seconds by step, the number of `actions`, and `peak_mib`.
    """
    from buildsys.engine.session import Session, open_recipe
    from buildsys.planner.catalog import Catalog

    catalog = Catalog.load([copying_backend.load()])
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        before = time.process_time()
        result = work()
        found[name] = time.process_time() - before
        return result

    recipe = timed("load", lambda: open_recipe(folder / "deploy.yaml", catalog, os.environ))
    with Session(recipe, catalog, root=store) as session:
        graph = timed("graph", session.graph)
        found["actions"] = len(graph.actions)
        del graph
        timed("plan", session.plan)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def fresh(folder: Path) -> dict[str, float]:
    """`measured` in a process and on a store of its own."""
    with tempfile.TemporaryDirectory(prefix="modelbuild-planning-") as store:
        command = [sys.executable, "-m", "benchmarks.planning", "--one", str(folder), store]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def table(rows: list[dict[str, float]]) -> str:
    """The figures as Markdown; the time of an action is that of `load` and `plan`."""
    lines = [
        "| actions | load s | graph s | plan s | µs an action | peak MiB |",
        "|---" * 6 + "|",
    ]
    for row in rows:
        each = (row["load"] + row["plan"]) / row["actions"] * 1e6
        lines.append(
            f"| {row['actions']:,.0f} | {row['load']:.2f} | {row['graph']:.2f} "
            f"| {row['plan']:.2f} | {each:.0f} | {row['peak_mib']:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints a table, and writes JSON where it is asked for."""
    parser = argparse.ArgumentParser(description="Times planning.")
    parser.add_argument("--sizes", default="1000,10000,100000", help="actions, with commas")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    parser.add_argument("--one", nargs=2, metavar=("PROJECT", "STORE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(*map(Path, given.one))))
        return
    rows = []
    for size in map(int, given.sizes.split(",")):
        folder = Path(tempfile.mkdtemp(prefix="modelbuild-planning-"))
        try:
            shape.write("modelbuild", size, folder / "project")
            runs = [fresh(folder / "project") for _ in range(given.runs)]
        finally:
            shutil.rmtree(folder)
        rows.append({name: statistics.median(run[name] for run in runs) for name in runs[0]})
    print(table(rows))
    if given.json:
        record = {"machine": machine.described(), "rows": rows}
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
