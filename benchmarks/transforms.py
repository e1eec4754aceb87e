"""The digit classifier made smaller before it is captured: what it costs, and what it gains.

    python -m benchmarks.transforms [--work FOLDER]

Builds `recipes/digits/slim.yaml` by the command, in a copy, and writes the figures of its report into
`docs/transforms.md`, with the latency of the pruned network against the whole one: both artifacts are run
in one process, by turns, on one thread, and the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildsys.engine.session import cache_root, toolchains_root
from buildsys.planner.catalog import Catalog
from buildsys.toolchains import Provisioner

REPOSITORY = Path(__file__).resolve().parent.parent
RECIPE = REPOSITORY / "recipes" / "digits"
DOCUMENT = REPOSITORY / "docs" / "transforms.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
BY_TURNS = """
import statistics, sys, time
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
sessions = [onnxruntime.InferenceSession(path, options) for path in sys.argv[1:]]
image = numpy.random.default_rng(0).random((64, 1, 8, 8), dtype=numpy.float32)
seconds = [[], []]
for turn in range(220):
    for session, found in zip(sessions, seconds):
        began = time.perf_counter()
        session.run(None, {"image": image})
        if turn >= 20:
            found.append(time.perf_counter() - began)
print(*(1000 * statistics.median(each) for each in seconds))
"""
LABELS = {
    "classifier": "server/classifier.onnx",
    "slim": "server/slim.onnx",
    "sparse": "server/sparse.onnx",
    "alone": "server/alone.onnx",
    "taught": "server/taught.onnx",
    "tiny": "server/tiny.onnx",
    "tiny q4": "server/tiny.onnx-q4",
    "rounded q4": "server/rounded.onnx-q4",
}
WHAT = {
    "classifier": "as it was trained",
    "slim": "30 % of the channels pruned in two steps, each trained",
    "sparse": "80 % of the weights zero, trained",
    "alone": "a quarter of the width, trained on 256 pictures",
    "taught": "the same network and pictures, with the classifier as its teacher",
    "tiny": "three channels of sixteen, trained on all",
    "tiny q4": "its weights in 4 bits, static",
    "rounded q4": "the same after `qat`",
}

Entry = Mapping[str, Any]


def built(folder: Path) -> dict[str, Entry]:
    """Builds the recipe in a folder; gives the report's entries by label.

    Raises:
        SystemExit: A deployable is not verified.
    """
    project = folder / "digits"
    if not project.exists():
        shutil.copytree(RECIPE, project, ignore=shutil.ignore_patterns("artifacts", "__pycache__"))
    command = [sys.executable, "-m", "buildsys.cli", "build", "-f", "slim.yaml"]
    if subprocess.run(command, cwd=project, check=False).returncode:
        sys.exit("not all that the recipe asks for is verified")
    report = json.loads((project / "artifacts" / "report.json").read_text())
    return {entry["label"]: entry for entry in report["deployables"]}


def by_turns(python: Path, whole: Path, pruned: Path) -> tuple[float, float]:
    """Medians of 64 pictures in milliseconds, of two artifacts that are run by turns."""
    command = [str(python), "-c", BY_TURNS, str(whole), str(pruned)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(told[0]), float(told[1])


def score(entry: Entry) -> float:
    """The top-1 accuracy of an artifact."""
    found: float = entry["measurement"]["metric"]["value"]
    return found


def recovered(entries: Mapping[str, Entry]) -> float:
    """The part of what 4-bit weights lose that training for them brings back."""
    whole, lost, trained = (
        score(entries[LABELS[name]]) for name in ("tiny", "tiny q4", "rounded q4")
    )
    return (trained - lost) / (whole - lost)


def table(entries: Mapping[str, Entry], milliseconds: tuple[float, float]) -> str:
    """The figures as Markdown."""
    rows = ["| model | what was done | bytes | top-1 |", "|---|---|---:|---:|"]
    for name, label in LABELS.items():
        entry = entries[label]
        rows.append(f"| `{name}` | {WHAT[name]} | {entry['bytes']:,} | {score(entry):.4f} |")
    whole, slim = (entries[LABELS[name]] for name in ("classifier", "slim"))
    ratio = milliseconds[1] / milliseconds[0]
    rows += [
        "",
        f"`slim` is {slim['bytes'] / whole['bytes']:.2f} of the classifier's size and takes {ratio:.2f} "
        "of its time (64 pictures, ONNX Runtime, one thread, by turns in one process).",
        f"`qat` brings back {recovered(entries):.0%} of what 4-bit weights lose.",
    ]
    return "\n".join(rows)


def main() -> None:
    """Builds, measures, and writes the document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, help="keeps the copy of the recipe here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.work or Path(temporary)
        entries = built(folder)
        provisioner = Provisioner(toolchains_root(cache_root()), Catalog.load().toolchains, {})
        artifacts = folder / "digits" / "artifacts" / "server"
        pair = (artifacts / "classifier.onnx", artifacts / "slim.onnx")
        figures = table(entries, by_turns(provisioner.python("onnx"), *pair))
    before, rest = DOCUMENT.read_text().split(BEGIN)
    after = rest.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}")


if __name__ == "__main__":
    main()
