"""Compares what we make with what each library makes by hand, of the same float artifact.

    python -m benchmarks.quantization [FORMAT]... [--work FOLDER] [--json FILE]

The recipe `digits` is built with the profiles of `cases.FORMATS`, all of them ungated. In each format's
toolchain the library then quantizes the very float artifact by its documented use, with equal settings, and
both files are run on the validation data. It fails where ours is more than 1 % larger, where top-1 is lower
by more than chance gives, or where logits err more than 5 % more. Results go to
`benchmarks/results/quantization.json`, where formats that are not asked for stay as they are; a table is
printed, and `python docs/quantization.py` shows it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import buildsys
from benchmarks import machine
from benchmarks.quantization.cases import COUNT, FORMATS, Format
from benchmarks.quantization.document import RESULTS, faults, table, updated
from buildsys.engine.outcome.placing import REJECTED
from buildsys.engine.outcome.verdicts import Verdict
from buildsys.engine.session import cache_root, toolchains_root
from buildsys.planner.catalog import Catalog
from buildsys.toolchains import Provisioner

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPE = REPOSITORY / "recipes" / "digits"
Row = dict[str, Any]


def written(folder: Path, names: Sequence[str]) -> Path:
    """The recipe with one entry a case, and the float artifacts that both start from."""
    shutil.copytree(RECIPE, folder, dirs_exist_ok=True)
    path = folder / "deploy.yaml"
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    profiles: dict[str, Any] = {}
    entries: list[dict[str, Any]] = []
    for name in names:
        declared = FORMATS[name]
        entries.append({"format": declared.source} | _source_entry(declared, name))
        for case, profile in declared.profiles.items():
            profiles[f"{name}-{case}"] = dict(profile)
            entries.append(
                {"format": name, "quantization": f"{name}-{case}", "accept": "any"}
                | dict(declared.entry)
            )
    # The same samples for both: a draw of all there are.
    data = np.load(folder / "data" / "train.npz")
    np.savez(folder / "data" / "calibration.npz", **{name: data[name][:COUNT] for name in data})
    recipe["datasets"]["calibration"] = recipe["datasets"]["train"] | {
        "source": "data/calibration.npz"
    }
    recipe["quantization"] = profiles
    # Whatever comes out is compared: a loss that both have is no fault of ours.
    recipe["acceptance"] = {"any": {"metric_drop": 1.0}}
    recipe["targets"] = {"edge": entries}
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


def _source_entry(declared: Format, name: str) -> dict[str, Any]:
    return dict(declared.entry) if declared.source == name else {}


def placed(folder: Path, verdict: Verdict) -> Path:
    """Where a built artifact lies."""
    name = Path(verdict.deployable.target, verdict.deployable.filename)
    kept = folder / "artifacts" / name
    return kept if kept.exists() else folder / "artifacts" / REJECTED / name


def compared(name: str, paths: dict[str, Path], target: Path) -> dict[str, Row]:
    """Runs one format's part in its toolchain; what is made by hand lies in `target`."""
    declared = FORMATS[name]
    provisioner = Provisioner(toolchains_root(cache_root()), Catalog.load().toolchains)
    provisioner.ensure(declared.toolchain, lambda line: print(line, file=sys.stderr))
    ours = {case: str(paths[f"{name}-{case}"]) for case in declared.profiles}
    data = RECIPE / "data"
    given = {
        "float": str(paths[f"{declared.source}-float"]),
        "train": str(data / "train.npz"),
        "val": str(data / "val.npz"),
        "target": str(target),
        "ours": ours,
    }
    done = subprocess.run(
        [
            provisioner.python(declared.toolchain),
            "-s",
            "-m",
            "benchmarks.quantization.by_hand",
            name,
        ],
        input=json.dumps(given),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    rows: dict[str, Row] = json.loads(done.stdout)
    return rows


def main() -> int:
    """Builds, compares, writes."""
    parser = argparse.ArgumentParser(description="Ours against each library used by hand.")
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args()
    names = given.formats or list(FORMATS)
    if unknown := [name for name in names if name not in FORMATS]:
        parser.error(f"no such format: {', '.join(unknown)}; there are {', '.join(FORMATS)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.work or Path(temporary)).resolve()
        path = written(folder / "digits", names)
        built = buildsys.build(buildsys.load(path))
        paths = {
            v.deployable.quantized.profile or f"{v.deployable.format}-float": placed(path.parent, v)
            for v in built.verdicts
        }
        if absent := [str(path) for path in paths.values() if not path.exists()]:
            print(f"fault: not built: {', '.join(absent)}", file=sys.stderr)
            return 1
        by_hand = folder / "by-hand"
        shutil.rmtree(by_hand, ignore_errors=True)  # Of a run before, with the same --work.
        by_hand.mkdir()
        rows = {name: compared(name, paths, by_hand) for name in names}
    pictures = len(np.load(RECIPE / "data" / "val.npz")["y"])
    before = json.loads(given.json.read_text("utf-8")) if given.json.exists() else {}
    record = updated(before, machine.described(), pictures, rows)
    given.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(table(record), end="")
    wrong = faults(record)
    for line in wrong:
        print(f"fault: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
