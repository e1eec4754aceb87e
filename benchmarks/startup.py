"""What a command costs that looks and runs nothing, beside importing the libraries that it is made with.

    python -m benchmarks.startup [--runs 9]

The recipe `digits`, built once by the installed command. Then in turns: a process that imports pydantic,
yaml, click and rich; `--help`; `plan` with nothing changed, after an edit of weights, and after an edit of
the recipe. Figures are medians of CPU seconds (user and system), and their ratio to the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import machine, timing
from benchmarks.timing import Cost

REPOSITORY = Path(__file__).parents[1]
IMPORTS = "from pydantic import BaseModel; import yaml, click; from rich.console import Console"
SETTLED = 0.2
"""Seconds after which what was written is old enough to be known by its times."""
PLAN = "plan"
MOST = {PLAN + ", weights edited": 1.5, PLAN + ", recipe edited": 3.0, "--help": 0.5}
"""The ratios that we mean to keep to."""


def steps(project: Path) -> dict[str, tuple[list[str], Callable[[int], None]]]:
    """The commands, each with the edit before it."""
    modelbuild = str(Path(sys.executable).with_name("modelbuild"))

    def weights(run: int) -> None:
        path = project / "weights.safetensors"
        data = bytearray(path.read_bytes())
        data[-3] = run + 1  # A low byte of the last weight.
        path.write_bytes(data)

    def recipe(run: int) -> None:
        with (project / "deploy.yaml").open("a") as stream:
            stream.write(f"# {run}\n")

    def nothing(run: int) -> None:
        pass

    return {
        "imports": ([sys.executable, "-c", IMPORTS], nothing),
        "--help": ([modelbuild, "--help"], nothing),
        PLAN + ", weights edited": ([modelbuild, "plan"], weights),
        PLAN + ", recipe edited": ([modelbuild, "plan"], recipe),
    }


def measured(runs: int) -> list[dict[str, float | str]]:
    """A row a command."""
    with tempfile.TemporaryDirectory(prefix="modelbuild-startup-") as temporary:
        project = Path(temporary) / "digits"
        shutil.copytree(
            REPOSITORY / "recipes" / "digits", project, ignore=shutil.ignore_patterns("artifacts")
        )
        log = Path(temporary) / "log"
        cache = Path(temporary) / "cache"
        environment = {
            name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        environment["MODELBUILD_TOOLCHAINS"] = _toolchains()
        environment["MODELBUILD_CACHE"] = str(cache)

        def run(command: list[str]) -> Cost:
            cost = timing.run(command, project, log=log, limit=3600, environment=environment)
            if cost.exit != 0:
                sys.exit(f"{command} failed:\n{log.read_text()[-2000:]}")
            return cost

        all_steps = steps(project)
        run([all_steps["--help"][0][0], "build", "-q"])
        costs: dict[str, list[Cost]] = {name: [] for name in all_steps}
        for number in range(runs):
            for name, (command, edit) in all_steps.items():
                edit(number)
                time.sleep(SETTLED)
                costs[name].append(run(command))
    rows: list[dict[str, float | str]] = []
    for name, each in costs.items():
        row = timing.medians(each)
        base = float(rows[0]["cpu"]) if rows else row["cpu"]
        rows.append({"name": name, "cpu": row["cpu"], "ratio": round(row["cpu"] / base, 2)})
    return rows


def _toolchains() -> str:
    from buildsys.engine.session import cache_root, toolchains_root

    return str(toolchains_root(cache_root()))


def table(rows: list[dict[str, float | str]]) -> str:
    """The figures as Markdown."""
    lines = ["| | CPU s | of the imports |", "|---|---|---|"]
    lines += [f"| {row['name']} | {row['cpu']:.3f} | {row['ratio']:.2f} |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    """Prints a table, and writes JSON where it is asked for."""
    parser = argparse.ArgumentParser(description="Times commands that run nothing.")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    given = parser.parse_args()
    rows = measured(given.runs)
    print(table(rows))
    for row in rows:
        most = MOST.get(str(row["name"]))
        if most is not None and float(row["ratio"]) > most:
            print(f"{row['name']}: {row['ratio']} is above {most}", file=sys.stderr)
    if given.json:
        record = {"machine": machine.described(), "rows": rows}
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
