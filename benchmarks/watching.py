"""What watching costs a step: CPU seconds of the steps that run a recipe's own code, by who watches.

`python -m benchmarks.watching recipes/digits/deploy.yaml android/classifier.onnx --rounds 3` builds the
label in a new store for each round and each way, in turns, and prints the medians by rule.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from buildsys.engine.executors import LocalExecutor
from buildsys.engine.executors.job import Done, Job, Outcome
from buildsys.engine.run import Settings
from buildsys.engine.session import Session, open_recipe
from buildsys.planner.catalog import Catalog
from buildsys.store import Store
from buildsys.toolchains.inside.watch import PYTHON, SWITCH

KERNEL = "kernel"


class Measuring(LocalExecutor):
    """Keeps what each step that runs the user's code took.

    Args:
        store: As of `LocalExecutor`.
        taken: Rule to CPU seconds; filled.
    """

    def __init__(self, store: Store, taken: dict[str, list[float]]) -> None:
        super().__init__(store)
        self._taken = taken

    def run(self, job: Job) -> Outcome:
        """Runs a step, and notes its CPU seconds."""
        outcome = super().run(job)
        if isinstance(outcome, Done) and job.action.user_code:
            self._taken[job.action.rule].append(outcome.cpu)
        return outcome


def measured(recipe: Path, selectors: list[str], way: str) -> dict[str, list[float]]:
    """CPU seconds by rule of a build in a new store."""
    taken: dict[str, list[float]] = defaultdict(list)
    os.environ[SWITCH] = way
    catalog = Catalog.load()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "store")
        opened = open_recipe(recipe.absolute(), catalog, os.environ)
        with Session(opened, catalog, root=root, executor=Measuring(Store(root), taken)) as session:
            session.build(selectors, settings=Settings(jobs=1), out=Path(folder, "artifacts"))
    return taken


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("selectors", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(given.rounds):
        for way in (PYTHON, KERNEL):
            for rule, seconds in measured(given.recipe, given.selectors, way).items():
                found[rule][way] += seconds
    print("| step | Python alone | with the kernel |\n|---|---|---|")
    for rule, by_way in found.items():
        alone, kernel = (statistics.median(by_way[way]) for way in (PYTHON, KERNEL))
        print(f"| `{rule}` | {alone:.2f} s | {kernel:.2f} s |")


if __name__ == "__main__":
    main()
