"""One pipeline under several build tools: first build, a build of nothing, one changed file.

    python -m benchmarks.pipeline [--sizes 10,100,1000,10000] [--tools make,doit,modelbuild] [--runs 5]

Every tool is installed into an environment of its own, which is thrown away again, and gets the same
graph (`benchmarks/shape.py`). A run of one tool follows a run of the next, so that all see the same
machine. Figures are medians: CPU seconds (user and system, child processes included) and wall seconds.
A first build is stopped at `--limit`; where it is known to take more than 15 minutes, the state behind
it is written by hand (DVC from 1,000 actions, Snakemake from 10,000).

Our tool is called as people call it: the installed command, with `-q` as others have.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine, shape, timing
from benchmarks.timing import Cost
from benchmarks.tools import TOOLS, Installed

PHASES = {"first": "first build", "noop": "nothing changed", "change": "one file changed"}
Row = dict[str, Any]


class Project:
    """A tool's copy of the pipeline, of one size."""

    def __init__(self, installed: Installed, actions: int, folder: Path, limit: float) -> None:
        self.name = installed.tool.name
        self.actions = actions
        self._installed = installed
        self._folder = folder
        self._limit = limit
        self.ready = False
        self.spent = 0.0
        self._edits = 0
        shape.write(self.name, actions, folder)
        installed.prepare(folder)

    def build(self) -> Cost:
        """Builds once, and says what it took."""
        cost = timing.run(
            self._installed.command(self._installed.tool.build),
            self._folder,
            log=self._folder.with_suffix(".log"),
            limit=self._limit,
            environment=self._installed.environment(self._folder),
        )
        self.spent += cost.wall
        if cost.exit not in (0, None):
            log = self._folder.with_suffix(".log").read_text(errors="replace")
            sys.exit(f"{self.name} failed with status {cost.exit}:\n{log[-2000:]}")
        return cost

    def first(self) -> Row:
        """The first build, or its state by hand."""
        tool = self._installed.tool
        if tool.prime is not None and tool.primed(self.actions):
            tool.prime(self.actions, self._folder)
            self.ready = True
            self.build()  # What was written by hand is taken over.
            return {"note": "written by hand: a first build takes more than 15 minutes"}
        cost = self.build()
        self.ready = cost.exit == 0
        note = {} if self.ready else {"note": f"stopped after {cost.wall:.0f} s"}
        return timing.medians([cost]) | note

    def edit(self) -> None:
        """Changes one file of the first model."""
        self._edits += 1
        shape.edit(self._folder, self._edits)

    def made(self) -> dict[str, int]:
        """When each output was written; for our tool, each placed artifact."""
        place = "artifacts" if self.name == "modelbuild" else "out"
        return {
            str(file): file.stat().st_mtime_ns
            for file in (self._folder / place).rglob("*")
            if file.is_file() and shape.models(10)[0] in str(file)
        }


def repeated(
    projects: list[Project], runs: int, budget: float, before: Callable[[Project], None]
) -> dict[str, list[Cost]]:
    """Builds all projects in turn, again and again.

    A tool that has taken longer than `budget` seconds is not run again.
    """
    costs: dict[str, list[Cost]] = {project.name: [] for project in projects}
    for project in projects:
        project.spent = 0.0
    for _ in range(runs):
        for project in projects:
            if project.ready and project.spent <= budget:
                before(project)
                costs[project.name].append(project.build())
    return costs


def check(project: Project, phase: str, before: dict[str, int]) -> None:
    """A last build of a phase did what it was to do, or its figures mean nothing."""
    after = project.made()
    rewritten = sum(before.get(name) != written for name, written in after.items())
    # All artifacts of ours lie below the edited file but none is made by the drawing of samples.
    expected = 0 if phase == "noop" else len(after) - (project.name != "modelbuild")
    if "report.json" in "".join(after):
        expected -= phase != "noop"
    if rewritten != expected:
        print(
            f"warning: {project.name}, {project.actions} actions, {PHASES[phase]}: "
            f"{rewritten} outputs written, not {expected}",
            file=sys.stderr,
        )


def measured(
    installed: list[Installed], actions: int, root: Path, runs: int, limit: float, budget: float
) -> list[Row]:
    """All phases of one size."""
    projects = [
        Project(each, actions, root / f"{each.tool.name}-{actions}", limit) for each in installed
    ]
    rows = []
    for project in projects:
        rows.append({"tool": project.name, "actions": actions, "phase": "first", **project.first()})
        told(rows[-1])
    for phase in ("noop", "change"):
        costs = repeated(
            projects, runs, budget, Project.edit if phase == "change" else lambda _: None
        )
        for project in projects:
            if not costs[project.name]:
                continue
            before = project.made()
            if phase == "change":
                project.edit()
            project.build()
            check(project, phase, before)
            rows.append(
                {
                    "tool": project.name,
                    "actions": actions,
                    "phase": phase,
                    **timing.medians(costs[project.name]),
                }
            )
            told(rows[-1])
    for project in projects:
        shutil.rmtree(root / f"{project.name}-{actions}")
    return rows


def told(row: Row) -> None:
    """Says a figure while others are still measured."""
    figures = f"{row['cpu']:.3f} s CPU, {row['wall']:.3f} s" if "cpu" in row else ""
    parts = (
        f"{row['tool']:10} {row['actions']:>6} {PHASES[row['phase']]:16}",
        figures,
        row.get("note", ""),
    )
    print(*(part for part in parts if part), file=sys.stderr, flush=True)


def with_ratios(rows: list[Row]) -> list[Row]:
    """The rows, each with its CPU time against doit's and make's."""
    known = {(r["tool"], r["actions"], r["phase"]): r.get("cpu") for r in rows}
    found = []
    for row in rows:
        ratios = {}
        for peer in ("doit", "make"):
            other = known.get((peer, row["actions"], row["phase"]))
            if other and row.get("cpu") is not None:
                ratios[f"of_{peer}"] = round(row["cpu"] / other, 2)
        found.append(row | ratios)
    return found


def table(rows: list[Row], phase: str) -> str:
    """CPU seconds of a phase as Markdown: a tool a line, a size a column."""
    sizes = sorted({row["actions"] for row in rows})
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    cells = {(r["tool"], r["actions"]): r for r in rows if r["phase"] == phase}
    lines = [
        f"| {PHASES[phase]} | " + " | ".join(f"{size:,}" for size in sizes) + " |",
        "|---" * (len(sizes) + 1) + "|",
    ]
    for tool in tools:
        shown = [_cell(cells.get((tool, size))) for size in sizes]
        lines.append(f"| {tool} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    if "note" in row:
        return "over 15 min" if "cpu" not in row else str(row["note"])
    cpu = float(row["cpu"])
    return f"{cpu:.3f}" if cpu < 0.1 else f"{cpu:.2f}" if cpu < 10 else f"{cpu:.0f}"


def main() -> None:
    """Measures, prints tables, writes JSON."""
    parser = argparse.ArgumentParser(description="Times a pipeline under several build tools.")
    parser.add_argument("--sizes", default="10,100,1000,10000", help="actions, with commas")
    parser.add_argument("--tools", default=",".join(TOOLS), help="with commas")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--limit", type=float, default=900, help="seconds for one build")
    parser.add_argument(
        "--budget", type=float, default=60, help="seconds for a tool's repeated runs"
    )
    parser.add_argument("--environments", type=Path, help="keep the tools' environments here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    given = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="modelbuild-pipeline-") as temporary:
        root = Path(temporary)
        environments = (given.environments or root / "environments").absolute()
        installed = [Installed(TOOLS[name], environments) for name in given.tools.split(",")]
        versions = {each.tool.name: each.version() for each in installed}
        for size in map(int, given.sizes.split(",")):
            rows += measured(installed, size, root, given.runs, given.limit, given.budget)
            if given.json:  # After each size: the larger ones take long.
                record = {
                    "machine": machine.described(),
                    "versions": versions,
                    "rows": with_ratios(rows),
                }
                given.json.write_text(json.dumps(record, indent=1) + "\n")
    print("CPU seconds:", ", ".join(f"{name} {number}" for name, number in versions.items()))
    for phase in PHASES:
        print(f"\n{table(rows, phase)}")


if __name__ == "__main__":
    main()
