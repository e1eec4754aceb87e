"""Measures everything again, and writes the figures, the chart and the tables.

    python -m benchmarks [NAME]...

NAME is `startup`, `planning`, `overhead`, `workers`, `cold` or `pipeline`; without one, all of them. It takes
hours, most of them for other tools' first builds, and the machine should do nothing else meanwhile.
Results go to `benchmarks/results/`, from where `docs/performance.svg` and `docs/performance.md` are made.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks import chart, tables

NAMES = ("startup", "planning", "overhead", "workers", "cold", "pipeline")


def main() -> None:
    """Runs the benchmarks that are named."""
    parser = argparse.ArgumentParser(description="Measures everything again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    names = parser.parse_args().names or NAMES
    unknown = set(names) - set(NAMES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    tables.RESULTS.mkdir(exist_ok=True)
    for name in names:
        print(f"\n== {name}", file=sys.stderr, flush=True)
        result = tables.RESULTS / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(result)]
        subprocess.run(command, check=True, cwd=tables.REPOSITORY)
    if chart.RESULTS.exists():
        chart.main()
    tables.main()


if __name__ == "__main__":
    main()
