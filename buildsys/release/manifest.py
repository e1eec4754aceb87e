"""`manifest.json` of a bundle: where its artifacts come from and how they were judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import buildsys
from buildsys.engine.outcome.verdicts import Verdict
from buildsys.engine.session import Build
from buildsys.planner.graph import FileInput
from buildsys.report.record import size_ratio

VERSION = 1


def manifest(
    build: Build, target: str, release: str, files: dict[str, list[str]]
) -> dict[str, Any]:
    """The manifest of one target's bundle.

    Args:
        build: A finished build.
        target: The target.
        release: The bundle's version.
        files: By label, the paths in the bundle.
    """
    return {
        "version": VERSION,
        "project": build.recipe.spec.project,
        "release": release,
        "target": target,
        "made_by": f"modelbuild {buildsys.__version__}",
        "artifacts": [
            _artifact(build, verdict, files[verdict.deployable.label])
            for verdict in build.verdicts
            if verdict.deployable.label in files
        ],
    }


def _artifact(build: Build, verdict: Verdict, files: list[str]) -> dict[str, Any]:
    asked = verdict.deployable
    return {
        "label": asked.label,
        "model": asked.model,
        "format": asked.format,
        "quantization": asked.quantized.profile,
        "scheme": asked.quantized.scheme,
        "precision": asked.quantized.precision,
        "options": dict(asked.options),
        "files": files,
        "digest": verdict.artifact.digest if verdict.artifact else None,
        "bytes": verdict.artifact.size if verdict.artifact else None,
        "size_ratio": size_ratio(verdict),
        "status": str(verdict.status),
        "reason": verdict.reason,
        "inputs_not_known": list(verdict.unseen),
        "notes": list(verdict.notes),
        "accept": {"name": asked.limits.acceptance, "bounds": dict(asked.limits.bounds)},
        "gates": [gate.to_json() for gate in verdict.gates],
        "measurement": dict(verdict.measurement) if verdict.measurement else None,
        "io": verdict.io,
        "route": list(asked.route.rules),
        "toolchains": dict(verdict.locks),
        "sources": sources(build, verdict),
    }


def sources(build: Build, verdict: Verdict) -> dict[str, str]:
    """Every file of the user's that the artifact was made from: path to digest."""
    found: dict[str, str] = {}
    folder = build.recipe.folder
    for name in build.graph.below(verdict.deployable.artifact):
        trace = build.run.trace(name)
        if trace is None:
            continue
        for input_name, given in build.graph.actions[name].inputs.items():
            if isinstance(given, FileInput):
                found[_relative(given.path, folder)] = trace.manifest["inputs"][input_name]
        for path, digest in trace.manifest.get("discovered", {}).items():
            if digest.startswith("sha256:"):
                found[_relative(folder / path, folder)] = digest
    return dict(sorted(found.items()))


def _relative(path: Path, folder: Path) -> str:
    # A path of the build machine is nobody's business but its own: outside files go by name.
    inside = path.is_relative_to(folder) and ".." not in path.relative_to(folder).parts
    return path.relative_to(folder).as_posix() if inside else path.name
