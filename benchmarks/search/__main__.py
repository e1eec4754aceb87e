"""Searches, then builds every candidate by hand, and compares what both find and build.

    python -m benchmarks.search [--json FILE]

The recipe `digits` in TFLite, ONNX and OpenVINO, and an architecture of the zoo in ONNX. The exit status is 1
where the search finds something larger than 1.1 times the best that is there, or builds half of the
candidates or more. Results go to `benchmarks/results/search.json` and into `docs/search.md`, or to FILE
alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

import buildsys
from benchmarks.search.document import BUILT, DOCUMENT, LARGER, RESULTS, document, holds
from benchmarks.zoo import project
from buildsys.engine.listener import ignore
from buildsys.engine.run import Settings
from buildsys.engine.session import Session
from buildsys.planner.choices.choosing import unsettled
from buildsys.search.settling import settle
from buildsys.search.trial import Trials

REPOSITORY = Path(__file__).parents[2]
NAME = "smallest"
ARCHITECTURE = "distilbert"


def digits(folder: Path) -> Path:
    """The recipe `digits`, searched for in three formats, under the bounds that it ships with."""
    source = REPOSITORY / "recipes" / "digits"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("artifacts", "__pycache__"))
    path = folder / "deploy.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe["quantization"] = {
        NAME: {
            "search": {
                "schemes": ["float16", "weight-only", "dynamic", "static"],
                "subject_to": "shipped",
                "calibration": {"dataset": "train", "count": 128},
            }
        }
    }
    # Of the size the search takes care itself.
    recipe["acceptance"] = {
        "shipped": {k: v for k, v in recipe["acceptance"]["shipped"].items() if k != "size_ratio"}
    }
    recipe["targets"] = {
        "server": [
            {"format": "tflite", "quantization": NAME, "route": "onnx"},
            {"format": "onnx", "quantization": NAME},
            {"format": "openvino", "quantization": NAME},
        ]
    }
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def zoo(folder: Path) -> Path:
    """An architecture of the zoo, which has no data to calibrate with."""
    folder.mkdir()
    path = project.write(folder, [ARCHITECTURE], [{"format": "onnx", "quantization": NAME}])
    recipe = yaml.safe_load(path.read_text())
    recipe["quantization"] = {
        NAME: {
            "search": {"schemes": ["float16", "weight-only", "dynamic"], "subject_to": "close"},
        }
    }
    recipe["acceptance"] = {"close": {"signal_error": 0.05}}
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path


def compared(path: Path) -> list[dict[str, Any]]:
    """Searches for every deployable of a recipe, then builds all its candidates."""
    settings = Settings()
    rows: list[dict[str, Any]] = []
    with Session(buildsys.load(path)) as session:
        questions = unsettled(session.recipe, session.catalog)
        before = session.recipe
        for found in settle(session, questions, settings):
            label = found.question.entry.label
            print(f"{label}: {found.candidate.name}, {found.built} built", file=sys.stderr)
            chosen = next(f for f in found.figures if f.name == found.candidate.name)
            rows.append({"label": label, "found": chosen.to_json(), "built": found.built})
        session.recipe = before
        for row, question in zip(rows, questions, strict=True):
            trials = Trials(session, question.entry.label, settings, ignore)
            every = [trials.of(candidate).figures for candidate in question.candidates.taken]
            passed = [f for f in every if f.status == "passed" and f.bytes is not None]
            best = min(passed, key=lambda figures: figures.bytes or 0)
            row["candidates"] = len(every)
            row["best"] = replace(best, latency_ms=None).to_json()
            row["by_hand"] = [replace(figures, latency_ms=None).to_json() for figures in every]
            row["size_ratio"] = round(row["found"]["bytes"] / row["best"]["bytes"], 4)
            row["built_ratio"] = round(row["built"] / len(every), 4)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares, writes, and says what does not hold."""
    parser = argparse.ArgumentParser(description="The search against trying every candidate.")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE")
    chosen = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory(prefix="search-") as folder:
        rows += compared(digits(Path(folder) / "digits"))
        rows += compared(zoo(Path(folder) / "zoo"))
    record = {"larger_at_most": LARGER, "built_below": BUILT, "searches": rows}
    chosen.json.write_text(json.dumps(record, indent=1) + "\n")
    if chosen.json == RESULTS:
        DOCUMENT.write_text(document(DOCUMENT.read_text(), record))
    for row in rows:
        print(
            f"{'holds' if holds(row) else 'FAILS'}  {row['label']}: {row['found']['name']}, "
            f"{row['found']['bytes']:,} bytes after {row['built']} builds; the best of "
            f"{row['candidates']}: {row['best']['name']}, {row['best']['bytes']:,} bytes"
        )
    return 0 if all(holds(row) for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
