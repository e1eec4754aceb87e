"""`artifacts/report.json`: the results of the last build. Without dates, so equal builds give equal bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildsys.engine.outcome.placing import write_text
from buildsys.engine.outcome.verdicts import Verdict
from buildsys.engine.results import Build
from buildsys.figures.candidate import Choice
from buildsys.figures.json_form import read, to_json
from buildsys.report.forms import Detour, Entry, Report, Search
from buildsys.small_files import read_bytes
from buildsys.store.content import writing

VERSION = 1
NAME = "report.json"


def report(build: Build) -> dict[str, Any]:
    """The report as plain data."""
    record: dict[str, Any] = to_json(Report(project=build.outline.project, deployables=()))
    return record | {"deployables": entries(build)}


def entries(build: Build) -> list[dict[str, Any]]:
    """What the report says of each deployable, as plain data."""
    now = _looked_at(build)
    if build.unchanged is None:
        return list(now.values())
    before = build.unchanged.entries
    return [now[label] if label in now else json.loads(text) for label, text in before.items()]


def _looked_at(build: Build) -> dict[str, dict[str, Any]]:
    """The entries of what was not left out, by label."""
    return {each.deployable.label: to_json(_entry(build, each)) for each in build.verdicts}


def _entry(build: Build, verdict: Verdict) -> Entry:
    asked, artifact = verdict.deployable, verdict.artifact
    path = build.paths.get(asked.label)
    return Entry(
        label=asked.label,
        target=asked.target,
        model=asked.model,
        format=asked.format,
        quantization=asked.quantized.profile,
        search=_search(build, asked.label),
        scheme=asked.quantized.scheme,
        precision=asked.quantized.precision,
        options=asked.options,
        path=shown_path(path, build) if path else None,
        sha256=artifact.digest.partition(":")[2] if artifact else None,
        digest=artifact.digest if artifact else None,
        bytes=artifact.size if artifact else None,
        size_ratio=size_ratio(verdict),
        status=verdict.status,
        reason=verdict.reason,
        inputs_not_known=verdict.unseen,
        notes=verdict.notes,
        accept=asked.limits.acceptance,
        gates=verdict.gates,
        measurement=verdict.measurement,
        calibration=verdict.calibration,
        benchmark=verdict.benchmark,
        io=verdict.io,
        route=asked.route.rules,
        detour=_detour(build, asked.label),
        reproducible=asked.route.reproducible,
        toolchains=verdict.locks,
        log=str(verdict.log) if verdict.failure and verdict.log else None,
    )


def _search(build: Build, label: str) -> Search | None:
    """What a search chose, and from what, where one did."""
    choice = build.outline.choices.get(label)
    if choice is None or not choice.found:
        return None
    found = choice.found
    return Search(
        profile=found["profile"],
        passed=found.get("passed", True),
        built=found.get("built"),
        float_bytes=found.get("float_bytes"),
        # In one order, whether it was searched just now or is read from the lock.
        candidates=tuple(dict(sorted(each.items())) for each in found.get("candidates", ())),
    )


def _detour(build: Build, label: str) -> Detour | None:
    """Which of the recipe's routes was taken, where those before it gave nothing."""
    detour = build.outline.detours.get(label)
    return Detour(taken=detour.taken, failed=detour.failed) if detour is not None else None


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
    """Writes `report.json` into the artifacts' folder; not at all where it says just that already.

    What searches chose from is drawn beside it, a page a deployable.
    """
    path = build.folder / NAME
    now = _looked_at(build)
    with writing(path):
        write_text(path, _text(build, now))
        searched = [entry for entry in now.values() if "search" in entry]
        if searched:
            from buildsys.report.pages.pareto import FOLDER, page  # Few builds search.

            for entry in searched:
                drawn = page(entry["label"], read(Choice, entry["search"]))
                write_text(build.folder / FOLDER / f"{entry['label']}.html", drawn)
    return path


def _text(build: Build, now: Mapping[str, dict[str, Any]]) -> str:
    """The file: entries of what was left out are written as they were."""
    texts = {label: _indented(entry) for label, entry in now.items()}
    if build.unchanged is not None:
        texts = {**build.unchanged.entries, **texts}
    record = to_json(Report(project=build.outline.project, deployables=()))
    head, _, tail = _json(record).rpartition("[]")
    return head + (BEGIN + BETWEEN.join(texts.values()) + END if texts else "[]") + tail + "\n"


BEGIN, BETWEEN, END = "[\n  ", ",\n  ", "\n ]"
"""What is around the entries in the file's text. No other line of it begins so: an entry's own lines are
indented further."""


def entries_in(text: str) -> dict[str, str]:
    """The texts of a report's entries, by label.

    Raises:
        ValueError: It is not as `write_report` writes it.
    """
    _, begin, rest = text.partition(f'"deployables": {BEGIN}')
    body, end, _ = rest.rpartition(END)
    if not begin or not end:
        raise ValueError
    found = {}
    for entry in re.split(r",\n  (?=\{\n)", body):
        name, _, label = entry.split("\n", 2)[1].strip().rstrip(",").partition(": ")
        if name != '"label"':
            raise ValueError
        found[json.loads(label)] = entry
    return found


def _indented(entry: dict[str, Any]) -> str:
    return _json(entry).replace("\n", "\n  ")


def _json(record: Any) -> str:
    return json.dumps(record, indent=1, ensure_ascii=False)


class RecordError(Exception):
    """A record of an earlier build is not there, or is none."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


LARGEST = 256 << 20
"""How many bytes a report may have."""
AGAIN = "give a `report.json` as `modelbuild build` writes it, whole and unaltered"


def read_report(path: Path) -> dict[str, Any]:
    """Reads a `report.json`.

    Raises:
        RecordError: It cannot be read, or is not what a build writes.
    """
    try:
        record = json.loads(read_bytes(path, LARGEST))
    except FileNotFoundError as error:
        raise RecordError(f"there is no {path}", "`modelbuild build` writes it") from error
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}", AGAIN) from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not JSON: {error}", AGAIN) from error
    version = record.get("version") if isinstance(record, dict) else VERSION
    if version != VERSION:
        raise RecordError(
            f"{path} is of version {version!r:.40}, and this program reads version {VERSION}",
            "read it with the modelbuild that wrote it",
        )
    _refuse("Report", record, str(path))
    found: dict[str, Any] = record
    return found


def check_entry(entry: Any, where: str) -> None:
    """Refuses what is no entry of a report, nor an artifact of a bundle's manifest.

    Args:
        entry: What was read.
        where: The file and the field, as the error names them.

    Raises:
        RecordError: Something is missing, or is not of its kind.
    """
    _refuse("Entry", entry, where)


def _refuse(kind: str, record: Any, where: str) -> None:
    # Builds write reports and read none: they need not wait for the shapes.
    from buildsys.report import shape

    wrong = shape.misshapen(getattr(shape, kind), record)
    if wrong is not None:
        raise RecordError(f"{where} is not as a build writes it: {wrong}", AGAIN)
