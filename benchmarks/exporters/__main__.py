"""Exports the zoo to ONNX by both exporters, and writes what the files are worth.

    python -m benchmarks.exporters [--model ARCHITECTURE]... [--again]

By `torchscript` a model is traced, and exported by PyTorch's older exporter; by `exported` it goes through
`torch.export` and the newer one. The steps are a build's own, taken from its plan, but all models go through
one process a toolchain: a whole build of each would take hours. What ONNX Runtime gives is compared with the
original model at two sizes. OpenVINO converts both files. Results go to `benchmarks/results/exporters.json`,
and from there to `docs/exporters.md`; models that are there are left out unless `--again`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import buildsys
from benchmarks.exporters import document
from benchmarks.exporters.document import CASES, ROUTES
from benchmarks.zoo import coverage, project
from benchmarks.zoo.architectures import ARCHITECTURES
from buildsys.engine.session import cache_root, toolchains_root
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import Action, OutputRef
from buildsys.toolchains import Provisioner

RULES = ("torch.capture", "torch.export", "onnx.export", "openvino.convert")
"""The steps that are run, in their order."""
REQUIREMENTS = "requirements:"
BATCH = 9
"""Models that go through the toolchains together; results are written after them."""


class Run:
    """Some models on their way through the steps.

    Args:
        folder: For all that is written.
        models: Architectures.
    """

    def __init__(self, folder: Path, models: Sequence[str]) -> None:
        self._folder = folder
        self._models = models
        self._provisioner = Provisioner(toolchains_root(cache_root()), Catalog.load().toolchains)
        self.errors: dict[str, dict[tuple[str, str], str | None]] = {m: {} for m in models}
        self.files: dict[str, dict[tuple[str, str], Path]] = {m: {} for m in models}

    def steps(self) -> None:
        """Runs all steps of all models, a toolchain after the other."""
        planned = [
            step for route, capture in ROUTES.items() for step in self._planned(route, capture)
        ]
        for rule in RULES:
            for environment in dict.fromkeys(step[0].environment for step in planned):
                wanted = [
                    s for s in planned if s[0].rule == rule and s[0].environment == environment
                ]
                given = [s for s in wanted if all(map(_is_there, s[1]["inputs"].values()))]
                told = self._told(str(environment), "steps", [step for _, step in given])
                for (_, step), line in zip(given, told, strict=True):
                    self.errors[step["model"]][step["case"], step["route"]] = line["error"]

    def figures(self) -> dict[str, Any]:
        """Looks into the ONNX files and runs them; see `figures.py`."""
        given = {
            model: {
                "files": {
                    route: str(path)
                    for (case, route), path in self.files[model].items()
                    if case == "onnx" and path.exists()
                },
                "original": str(self._folder / model / "original.npz"),
            }
            for model in self._models
        }
        found: dict[str, Any] = {}
        for line in self._told("onnx", "figures", given):
            found.update(line)
        return found

    def _planned(self, route: str, capture: str) -> Iterator[tuple[Action, dict[str, Any]]]:
        for model in self._models:
            folder = self._folder / model / route
            path = project.write(folder, [model], [dict(CASES[case]) for case in CASES], capture)
            graph = buildsys.plan(buildsys.load(path)).action_graph
            for action in graph.actions.values():
                if action.rule not in RULES:
                    continue
                case = action.rule.partition(".")[0]
                made = {o.name: str(folder / action.rule / o.name) for o in action.outputs}
                (folder / action.rule).mkdir(exist_ok=True)
                self.files[model][case, route] = Path(made["artifact"])
                step = {
                    "id": action.id,
                    "model": model,
                    "case": case,
                    "route": route,
                    "worker": _worker(action),
                    "inputs": {
                        name: str(folder / graph.actions[ref.action].rule / ref.output)
                        for name, ref in action.inputs.items()
                        if isinstance(ref, OutputRef)
                    },
                    "outputs": made,
                    "options": action.options,
                    "project": str(folder),
                    "package": project.PACKAGE,
                    "scratch": str(folder / action.rule / "scratch"),
                }
                if action.rule == "torch.capture":
                    yield action, _original(step, self._folder / model / "original.npz")
                yield action, step

    def _told(self, environment: str, program: str, given: Any) -> list[dict[str, Any]]:
        if not given:
            return []
        if environment.startswith(REQUIREMENTS):
            file = project.HERE / Path(environment.removeprefix(REQUIREMENTS)).name
            self._provisioner.ensure_requirements(file, lambda line: print(line, file=sys.stderr))
            python = self._provisioner.python_requirements(file)
        else:
            python = self._provisioner.python(environment)
        done = subprocess.run(
            [python, "-s", "-W", "ignore", "-m", f"benchmarks.exporters.{program}"],
            input=json.dumps(given),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=coverage.REPOSITORY,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]


def _worker(action: Action) -> str:
    return f"buildsys.backends.{action.worker.backend}.{action.worker.function}"


def _original(step: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The run of the original model, beside its trace."""
    more = {"case": "original", "worker": "benchmarks.exporters.originals:run"}
    return {**step, **more, "outputs": {"artifact": str(path)}}


def _is_there(path: str) -> bool:
    return Path(path).exists()


def looked_at(models: Sequence[str]) -> document.Record:
    """What both exporters give of some models; `{MODEL: {CASE: {ROUTE: cell}}}`."""
    with tempfile.TemporaryDirectory(prefix="modelbuild-exporters-") as temporary:
        run = Run(Path(temporary), models)
        run.steps()
        figures = run.figures()
        record: document.Record = {}
        for model in models:
            record[model] = {case: {} for case in CASES}
            for case in CASES:
                for route in ROUTES:
                    path = run.files[model][case, route]
                    error = run.errors[model].get((case, route), "nothing to convert")
                    earlier = run.errors[model].get(("torch", route))
                    cell = {"error": earlier or error} if earlier or error else _size(path)
                    if case == "onnx" and not error:
                        cell.update(figures[model].get(route, {}))
                    record[model][case][route] = cell
    return record


def _size(path: Path) -> document.Cell:
    parts = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return {"bytes": sum(part.stat().st_size for part in parts)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exports and writes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.exporters",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--model", action="append", choices=list(ARCHITECTURES))
    parser.add_argument("--again", action="store_true", help="also what was exported before")
    given = parser.parse_args(arguments)
    results = document.RESULTS
    record: document.Record = json.loads(results.read_text()) if results.exists() else {}
    names = given.model or list(ARCHITECTURES)
    wanted = [name for name in names if given.again or name not in record]
    for start in range(0, len(wanted), BATCH):
        record.update(looked_at(wanted[start : start + BATCH]))
        record = {name: record[name] for name in ARCHITECTURES if name in record}
        results.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        document.DOCUMENT.write_text(document.written(record))
        for name in wanted[start : start + BATCH]:
            for case, cells in record[name].items():
                told = ", ".join(f"{r} {c.get('error', 'ok')[:90]}" for r, c in cells.items())
                print(f"{name:20} {case:10} {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
