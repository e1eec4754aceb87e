"""`artifacts/report.json`: what the last build came to; no dates, so equal builds give equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from buildsys.engine.placing import write_text
from buildsys.engine.session import Build
from buildsys.engine.verdicts import Verdict
from buildsys.store.content import writing

VERSION = 1
NAME = "report.json"


def report(build: Build) -> dict[str, Any]:
    """The report as plain data."""
    return {
        "version": VERSION,
        "project": build.recipe.spec.project,
        "deployables": [deployable(build, verdict) for verdict in build.verdicts],
    }


def deployable(build: Build, verdict: Verdict) -> dict[str, Any]:
    """One deployable's entry."""
    asked = verdict.deployable
    measurement = dict(verdict.measurement) if verdict.measurement else None
    path = build.paths.get(asked.label)
    return {
        "label": asked.label,
        "target": asked.target,
        "model": asked.model,
        "format": asked.format,
        "quantization": asked.profile,
        "scheme": asked.scheme,
        "precision": asked.precision,
        "options": dict(asked.options),
        "path": shown_path(path, build) if path else None,
        "sha256": verdict.artifact.digest.partition(":")[2] if verdict.artifact else None,
        "digest": verdict.artifact.digest if verdict.artifact else None,
        "bytes": verdict.artifact.size if verdict.artifact else None,
        "size_ratio": size_ratio(verdict),
        "status": str(verdict.status),
        "reason": verdict.reason,
        "notes": list(verdict.notes),
        "accept": asked.acceptance,
        "gates": [gate.to_json() for gate in verdict.gates],
        "measurement": measurement,
        "io": verdict.io,
        "route": list(asked.route),
        "reproducible": asked.reproducible,
        "toolchains": dict(verdict.locks),
        "log": str(verdict.log) if verdict.failure and verdict.log else None,
    }


def shown_path(path: Path, build: Build) -> str:
    """An artifact's path: relative to the folder that `artifacts/` lies in."""
    base = build.folder.parent
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else str(path)


def size_ratio(verdict: Verdict) -> float | None:
    """Size against the unquantized artifact of the same format, where that was built."""
    if verdict.artifact is None or not verdict.baseline_bytes:
        return None
    return round(verdict.artifact.size / verdict.baseline_bytes, 4)


def write_report(build: Build) -> Path:
    """Writes `report.json` into the artifacts' folder; not at all where it says just that already."""
    path = build.folder / NAME
    with writing(path):
        write_text(path, json.dumps(report(build), indent=1, ensure_ascii=False) + "\n")
    return path
