"""What became of each architecture in each format: kept as JSON, shown as `docs/coverage.md`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.zoo.architectures import ARCHITECTURES
from buildsys.engine.outcome.verdicts import Status, Verdict

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "zoo.json"
DOCUMENT = REPOSITORY / "docs" / "coverage.md"

WANTED = ("torchscript", "exported", "onnx", "ort", "tflite", "openvino")
TRANSFORMERS = ("tflite", "onnx", "coreml float16", "torchscript", "openvino", "executorch")
LEAST = {WANTED: 0.95, ("executorch",): 0.85}
"""The part of the cells over some formats that must be verified."""

Record = dict[str, Any]
Cell = dict[str, Any]

HEAD = """\
# Coverage

{count} small architectures of different kinds ([`benchmarks/zoo/`](../benchmarks/zoo)), each in every format
by its default options and route. Those of the package transformers (`…_hf`) are its own, in small
configurations ([`hugging_face.py`](../benchmarks/zoo/hugging_face.py)), in the formats that people ship them
in. Weights are seeded and no part of a model is dead. Written by

    python -m benchmarks.zoo [--format FORMAT]... [--model ARCHITECTURE]...

which builds them format by format, and what fails once more by the format's other route. ✓ is `verified`:
the artifact was run in the format's own runtime on 8 random samples, and the default bounds hold: no output's
`signal_error` is above 1e-3 or far above what float32 itself costs the model. `checked` is the same by the
project's own evaluator of a format that nothing runs here. What is neither says why below.

"""


def cell(verdict: Verdict) -> Cell:
    """A verdict as it is kept: the status, and the cause where it is not verified."""
    found: Cell = {"status": str(verdict.status)}
    if verdict.status is not Status.VERIFIED:
        found["cause"] = first_line(verdict.reason or "")
    if verdict.failure is not None and verdict.failure.hint:
        found["way_out"] = first_line(verdict.failure.hint)
    errors = [
        figures.signal_error
        for figures in (verdict.measurement.outputs if verdict.measurement else {}).values()
        if figures.signal_error is not None
    ]
    if errors:
        found["signal_error"] = float(f"{max(errors):.1e}")
    return found


def column_of(verdict: Verdict) -> str:
    """Where a verdict stands in the table: its format, and its scheme where it has one."""
    wanted = verdict.deployable
    return (
        f"{wanted.format} {wanted.quantized.scheme}" if wanted.quantized.scheme else wanted.format
    )


def first_line(text: str, limit: int = 300) -> str:
    """The first line of an error, with spaces between words only."""
    line = re.sub(r"\s+", " ", text.strip().partition("\n")[0]).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"


def updated(
    record: Record, verdicts: Iterable[Verdict], rerouted: Iterable[tuple[str, Verdict]] = ()
) -> Record:
    """The record with the cells of a build in it; the others stay as they are.

    Args:
        record: What there was.
        verdicts: The build's.
        rerouted: Those of cells that had failed, with the `route:` that was taken instead.
    """
    cells = {name: dict(row) for name, row in record.get("cells", {}).items()}
    runtimes = dict(record.get("runtimes", {}))
    for verdict in verdicts:
        wanted = verdict.deployable
        column = column_of(verdict)
        cells.setdefault(wanted.model, {})[column] = cell(verdict)
        if verdict.measurement is not None:
            runtimes[column] = verdict.measurement.runtime
    for way, verdict in rerouted:
        wanted = verdict.deployable
        cells[wanted.model][wanted.format].setdefault("routes", {})[way] = cell(verdict)
    ordered = {name: dict(sorted(cells[name].items())) for name in ARCHITECTURES if name in cells}
    return {"runtimes": dict(sorted(runtimes.items())), "cells": ordered}


def share(record: Record, formats: Iterable[str]) -> tuple[int, int]:
    """How many cells over some formats are verified or checked, and how many there are."""
    found = [row[f]["status"] for row in record["cells"].values() for f in formats if f in row]
    return found.count("verified") + found.count("checked"), len(found)


def missing(record: Record) -> list[str]:
    """What falls short of `LEAST`, in words, among the formats that were run."""
    found = []
    for formats, least in LEAST.items():
        count, total = share(record, formats)
        if total and count / total < least:
            names = ", ".join(formats)
            found.append(f"{count} of {total} cells are verified over {names}: below {least:.0%}")
    return found


def formats_of(record: Record) -> list[str]:
    """The formats that were run: those that count first, in their order."""
    names = {name for row in record["cells"].values() for name in row}
    first = [name for name in (*WANTED, "executorch") if name in names]
    return first + sorted(names - set(first))


def document(record: Record) -> str:
    """The first part of `docs/coverage.md`; see `two_parts`."""
    formats = formats_of(record)
    parts = [HEAD.format(count=len(record["cells"])), _shares(record, formats)]
    parts += [_matrix(record, formats), _causes(record, formats)]
    return "\n".join(parts)


def _percent(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "–"


def _shares(record: Record, formats: list[str]) -> str:
    lines = ["| format | verified or checked | of | | run by |", "|---|---|---|---|---|"]
    for name in formats:
        count, total = share(record, [name])
        runtime = record["runtimes"].get(name, "nothing here")
        lines.append(f"| {name} | {count} | {total} | {_percent(count, total)} | {runtime} |")
    lines += _transformers(record)
    six = [name for name in WANTED if name in formats]
    count, total = share(record, six)
    lines.append(f"| **{', '.join(six)}** | {count} | {total} | **{_percent(count, total)}** | |")
    return "\n".join(lines) + "\n"


def _transformers(record: Record) -> list[str]:
    """The share of the cells of transformers' architectures, where there are any."""
    rows = {n: row for n, row in record["cells"].items() if ARCHITECTURES[n].requirements}
    if not rows:
        return []
    count, total = share({"cells": rows}, TRANSFORMERS)
    names = ", ".join(TRANSFORMERS)
    return [f"| **transformers: {names}** | {count} | {total} | **{_percent(count, total)}** | |"]


def _matrix(record: Record, formats: list[str]) -> str:
    lines = ["| architecture | | " + " | ".join(formats) + " |", "|---" * (len(formats) + 2) + "|"]
    for name, row in record["cells"].items():
        shown = [_shown(row[f]["status"]) if f in row else "" for f in formats]
        lines.append(f"| {name} | {ARCHITECTURES[name].kind} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def _shown(status: str) -> str:
    """What stands out is what is not well."""
    return {"verified": "✓", "rejected": "**rejected**", "failed": "**failed**"}.get(status, status)


def _causes(record: Record, formats: list[str]) -> str:
    """Every cell that is not verified, with its cause; cells that share one stand together."""
    lines = ["## Why the others are not verified", ""]
    for name in formats:
        grouped: dict[tuple[str, str, str, str], list[str]] = {}
        for model, row in record["cells"].items():
            if name in row and row[name]["status"] not in ("verified", "checked"):
                found: Mapping[str, Any] = row[name]
                other_ways = [
                    f"By `route: {way}`: {other['status']}"
                    + (f", {_plain(other['cause'])}." if "cause" in other else ".")
                    for way, other in found.get("routes", {}).items()
                ]
                key = (
                    found["status"],
                    found["cause"],
                    found.get("way_out", ""),
                    " ".join(other_ways),
                )
                grouped.setdefault(key, []).append(model)
        for (status, cause, way_out, ways), models in grouped.items():
            which = _which(models, [m for m, row in record["cells"].items() if name in row])
            text = f"- **{name}**, {which}: {status}. {_plain(cause)}."
            text += f" Way out: {_plain(way_out)}." if way_out else ""
            lines.append(f"{text} {ways}".rstrip())
    if len(lines) == 2:
        lines.append("All are.")
    return "\n".join(lines) + "\n"


def _which(models: list[str], all_models: list[str]) -> str:
    """Some of the architectures, by name, or by which are not among them."""
    others = [name for name in all_models if name not in models]
    if len(models) < 5 or len(others) >= len(models):
        return ", ".join(models)
    return f"all but {', '.join(others)}" if others else "all"


def _plain(text: str) -> str:
    """A message that Markdown shows as it is."""
    return re.sub(r"([<>|*_\[\]])(?=[^`]*(?:`[^`]*`[^`]*)*$)", r"\\\1", text).rstrip(".")
