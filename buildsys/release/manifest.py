"""`manifest.json` of a bundle: where its artifacts come from and how they were judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import buildsys
from buildsys.backends.kit.protocol.contract import Contract
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.engine.results import Build
from buildsys.figures.json_form import Form, optional
from buildsys.figures.measurement import Measurement
from buildsys.planner.graph import FileInput
from buildsys.report.record import size_ratio
from buildsys.verify.judgment.gate import Gate

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Accept:
    """The acceptance that an artifact was judged by.

    Attributes:
        name: Its name in the recipe.
        bounds: Limit by bound.
    """

    name: str
    bounds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One artifact of a bundle.

    Attributes:
        label: `TARGET/MODEL.FORMAT`.
        model: The model.
        format: The format.
        quantization: The profile; `null` where there is none.
        scheme: The profile's scheme.
        precision: What the scheme makes of weights and activations, in words.
        options: The format's options.
        files: Its paths in the bundle.
        digest: The artifact's digest.
        bytes: The artifact's size.
        size_ratio: The size against the unquantized artifact of the same format.
        status: What became of it.
        reason: Why, where the status alone does not say.
        inputs_not_known: Through what its model's code read files that nothing could observe.
        notes: What the steps on its way noted.
        accept: The acceptance that it was judged by.
        gates: Each bound with its value.
        measurement: The figures; `null` where it was not run.
        io: The io contract.
        route: The rules from the model to the artifact.
        toolchains: The digest of each toolchain's lock.
        sources: The user's files that it was made from: path to digest.
    """

    label: str
    model: str
    format: str
    quantization: str | None
    scheme: str | None
    precision: str
    options: Mapping[str, Any]
    files: Sequence[str]
    digest: str | None
    bytes: int | None
    size_ratio: float | None
    status: Status
    reason: str | None
    inputs_not_known: tuple[str, ...]
    notes: tuple[str, ...]
    accept: Accept
    gates: tuple[Gate, ...]
    measurement: Measurement | None
    io: Annotated[Mapping[str, Any] | None, Form(Contract | None)]
    route: tuple[str, ...]
    toolchains: Mapping[str, str]
    sources: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What a bundle carries besides its artifacts.

    Attributes:
        files: Paths in the bundle.
    """

    files: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Where a bundle's artifacts come from, and how they were judged.

    Attributes:
        version: The version of this form.
        project: The project.
        release: The bundle's version.
        target: The platform.
        made_by: The program that made it, with its version.
        artifacts: One entry an artifact, in the recipe's order.
        selftest: The self-test, where the bundle carries one.
        sizes: Of each file its size in bytes.
    """

    version: Literal[1] = 1
    project: str
    release: str
    target: str
    made_by: str
    artifacts: tuple[Artifact, ...]
    selftest: Carried | None = optional()
    sizes: Mapping[str, int]


def manifest(
    build: Build,
    target: str,
    release: str,
    files: Mapping[str, Sequence[str]],
    carried: Sequence[str] | None,
    sizes: Mapping[str, int],
) -> Manifest:
    """The manifest of one target's bundle.

    Args:
        build: A finished build.
        target: The target.
        release: The bundle's version.
        files: By label, the paths in the bundle.
        carried: The paths of the self-test, where there is one.
        sizes: Of every file its size in bytes.
    """
    return Manifest(
        project=build.outline.project,
        release=release,
        target=target,
        made_by=f"modelbuild {buildsys.__version__}",
        artifacts=tuple(
            _artifact(build, verdict, files[verdict.deployable.label])
            for verdict in build.verdicts
            if verdict.deployable.label in files
        ),
        selftest=Carried(files=carried) if carried is not None else None,
        sizes=sizes,
    )


def _artifact(build: Build, verdict: Verdict, files: Sequence[str]) -> Artifact:
    asked = verdict.deployable
    return Artifact(
        label=asked.label,
        model=asked.model,
        format=asked.format,
        quantization=asked.quantized.profile,
        scheme=asked.quantized.scheme,
        precision=asked.quantized.precision,
        options=asked.options,
        files=files,
        digest=verdict.artifact.digest if verdict.artifact else None,
        bytes=verdict.artifact.size if verdict.artifact else None,
        size_ratio=size_ratio(verdict),
        status=verdict.status,
        reason=verdict.reason,
        inputs_not_known=verdict.unseen,
        notes=verdict.notes,
        accept=Accept(name=asked.limits.acceptance, bounds=asked.limits.bounds),
        gates=verdict.gates,
        measurement=verdict.measurement,
        io=verdict.io,
        route=asked.route.rules,
        toolchains=verdict.locks,
        sources=sources(build, verdict),
    )


def sources(build: Build, verdict: Verdict) -> dict[str, str]:
    """Every file of the user's that the artifact was made from: path to digest."""
    found: dict[str, str] = {}
    folder = build.outline.folder
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
    # A path of the build machine stays on that machine: outside files go by name.
    inside = path.is_relative_to(folder) and ".." not in path.relative_to(folder).parts
    return path.relative_to(folder).as_posix() if inside else path.name
