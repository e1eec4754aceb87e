"""What became of faults and of sound artifacts: kept as JSON, shown as `docs/verification.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.faults import locating, projects, usual
from benchmarks.faults.kinds import KINDS
from benchmarks.faults.trained import table

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "faults.json"
DOCUMENT = REPOSITORY / "docs" / "verification.md"
INTRODUCTION = Path(__file__).parent / "introduction.md"

PRECISIONS = (projects.FLOAT32, projects.FLOAT16, projects.INTEGERS)
LEAST = {projects.FLOAT32: 1.0, projects.FLOAT16: 0.996}
"""The part of the faults that must be caught."""
LEAST_LOCATED = 0.8
"""The part of the located faults that must be within one operation."""
WEIGHTS = "weights"
"""The bound that needs no outputs."""
GRAPH = "graph_ratio"
"""The bound on what is left where the original is given the artifact's weights."""
SOUND = ("verified", "checked")
WITHIN = (locating.AT, locating.BESIDE)
"""Where a fault was found: at its operation, at one beside it; others are `elsewhere` or `nowhere`."""

Record = dict[str, Any]
Fault = Mapping[str, Any]
Row = tuple[str, str, Fault]
"""Model, column and fault."""


def updated(record: Record, model: str, found: Mapping[str, Record]) -> Record:
    """The record with the columns of a model in it; the others stay as they are."""
    models = {name: dict(row) for name, row in record.get("models", {}).items()}
    models.setdefault(model, {}).update(found)
    names = [*(name for name in MODELS if name in models)]
    columns = list(projects.ENTRIES)
    return {
        "models": {
            name: dict(sorted(models[name].items(), key=lambda item: columns.index(item[0])))
            for name in names
        }
    }


MODELS = (*projects.ZOO, *projects.TRAINED, *projects.WHEELS)


def caught(fault: Fault) -> bool:
    """Whether the build does not ship it."""
    return fault["status"] not in SOUND


def refused(fault: Fault) -> bool:
    """Whether it does not even load: no check is needed to see that, so it counts for nothing."""
    return bool(fault["status"] == "failed")


def idle(fault: Fault) -> bool:
    """Whether nothing shows it: it changes no bit of any output, for all samples and edges."""
    return not caught(fault) and fault.get("effect") is False


def place(fault: Fault) -> str | None:
    """Where a fault was found; `None` where nobody asked, or all that is known is that it is there.

    A tensor that is named as altered is no guess, so its place comes first; what the outputs tell comes
    second.
    """
    if "locate" not in fault:
        return None
    named: str | None = fault["named"]
    located: str | None = fault["locate"]
    return located if named is None else named


def rows(record: Record) -> Iterator[Row]:
    """Every fault that loads, and does something."""
    for model, row in record["models"].items():
        for column, cell in row.items():
            for fault in cell["faults"]:
                if not refused(fault) and not idle(fault):
                    yield model, column, fault


def healthy(record: Record) -> Iterator[tuple[str, str, Fault]]:
    """Every sound artifact with every seed of samples: model, column, what became of it.

    What a format's converter does not make is no artifact.
    """
    for model, row in record["models"].items():
        for column, cell in row.items():
            for judged in cell["healthy"].values():
                if judged["status"] != "failed":
                    yield model, column, judged


def missing(record: Record) -> list[str]:
    """What falls short of what must be, in words."""
    said = []
    for precision, least in LEAST.items():
        found = [f for _, c, f in rows(record) if projects.precision(c) == precision]
        count = sum(map(caught, found))
        if found and count / len(found) < least:
            said.append(
                f"{count} of {len(found)} faults in {precision} artifacts are caught: "
                f"below {least:.1%}"
            )
    for model, column, judged in healthy(record):
        if judged["status"] not in SOUND:
            said.append(f"{model}.{column} without a fault is {judged['status']}")
    found = [f for _, _, f in rows(record) if place(f) is not None]
    within = sum(place(f) in WITHIN for f in found)
    if found and within / len(found) < LEAST_LOCATED:
        said.append(
            f"{within} of {len(found)} faults are located within one operation: "
            f"below {LEAST_LOCATED:.0%}"
        )
    return said


def document(record: Record) -> str:
    """The whole of `docs/verification.md`."""
    allowed = {
        name: [column for column in projects.ENTRIES if projects.allowed(name, column)]
        for name in projects.WHEELS
    }
    parts = [
        INTRODUCTION.read_text(),
        _summary(record),
        _kinds(record),
        _false_alarms(record),
        table.section(record, allowed),
        _location(record),
        _escapes(record),
    ]
    return "\n".join(parts)


def _columns(record: Record) -> list[str]:
    present = {column for row in record["models"].values() for column in row}
    return [column for column in projects.ENTRIES if column in present]


def _summary(record: Record) -> str:
    """By precision: what is caught, by what, and by the usual checks."""
    count = sum(1 for _ in rows(record))
    unloaded = sum(
        refused(fault)
        for row in record["models"].values()
        for cell in row.values()
        for fault in cell["faults"]
    )
    lines = [
        f"{count} faults in artifacts of {len(record['models'])} models. {unloaded} more were refused by "
        "their runtime when it loaded them, and count for nothing.",
        "",
        "| artifacts | faults | caught | by outputs | by the graph apart | by weights alone | "
        + " | ".join(f"`{name}`" for name in usual.CHECKS)
        + " |",
        "|---|---|---|---|---|---|" + "---|" * len(usual.CHECKS),
    ]
    for precision in PRECISIONS:
        found = [f for _, c, f in rows(record) if projects.precision(c) == precision]
        if not found:
            continue
        outputs = [f for f in found if set(f["gates"]) - {WEIGHTS, GRAPH}]
        graph = [f for f in found if GRAPH in f["gates"] and f not in outputs]
        weights = [f for f in found if f["gates"] == [WEIGHTS]]
        shown = [_of(len(part), len(found)) for part in (outputs, graph, weights)]
        checks = [_of(sum(name in f["usual"] for f in found), len(found)) for name in usual.CHECKS]
        whole = f"**{_of(sum(map(caught, found)), len(found))}**"
        lines.append(
            f"| {precision} | {len(found)} | {whole} | " + " | ".join(shown + checks) + " |"
        )
    return "\n".join(lines) + "\n"


def _kinds(record: Record) -> str:
    columns = _columns(record)
    lines = [
        "### By kind and format",
        "",
        "Caught, of how many. The last column is what `allclose` on one input catches of the same.",
        "",
        "| fault | | " + " | ".join(columns) + " | `allclose` |",
        "|---|---|" + "---|" * (len(columns) + 1),
    ]
    for kind in KINDS.values():
        found = [(c, f) for _, c, f in rows(record) if f["kind"] == kind.name]
        if not found:
            continue
        cells = []
        for column in columns:
            own = [f for c, f in found if c == column]
            count = sum(map(caught, own))
            text = f"{count}/{len(own)}" if own else ""
            cells.append(f"**{text}**" if own and count < len(own) else text)
        close = sum("allclose" in f["usual"] for _, f in found)
        cells.append(f"{close}/{len(found)}")
        lines.append(f"| {kind.name} | {kind.means} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _false_alarms(record: Record) -> str:
    """What is sound, and who refuses it all the same."""
    lines = [
        "## False alarms",
        "",
        "The same artifacts without a fault, each judged on several draws of samples.",
        "",
        "| format | judged | rejected | "
        + " | ".join(f"`{name}` refuses" for name in usual.CHECKS)
        + " |",
        "|---|---|---|" + "---|" * len(usual.CHECKS),
    ]
    for column in _columns(record):
        found = [judged for _, c, judged in healthy(record) if c == column]
        rejected = sum(judged["status"] not in SOUND for judged in found)
        checks = [sum(name in judged.get("usual", ()) for judged in found) for name in usual.CHECKS]
        cells = " | ".join(str(n) for n in checks)
        shown = f"**{rejected}**" if rejected else "0"
        lines.append(f"| {column} | {len(found)} | {shown} | {cells} |")
    return "\n".join(lines) + "\n"


def _location(record: Record) -> str:
    columns = [c for c in _columns(record) if any(_asked(record, c))]
    lines = [
        "## Location",
        "",
        "Of the faults that are caught, in float32: where the tensor is that the bound `weights` names; and "
        "where it names none, where the operation is that `verify --locate` names. At it: "
        "the operation that was changed, or its own tensor. Beside it: an operation that gives it its "
        "inputs, or takes its outputs. A stale weight file is everywhere, and is left out. Float16 artifacts "
        "are of the same operations: to locate all of theirs as well would take hours and tell little more.",
        "",
    ]
    models = _models_asked(record)
    if columns and models != list(record["models"]):
        lines += [f"Measured on {', '.join(models)}; the others were run with `--no-locate`.", ""]
    if not columns:
        return "\n".join([*lines, "Not measured.\n"])
    lines += ["| format | by | faults | at it | beside it | elsewhere | nowhere | within one |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for column in columns:
        asked = list(_asked(record, column))
        for by, words in (
            ("`weights`", [f["named"] for f in asked]),
            ("`--locate`", [f["locate"] for f in asked]),
            ("the first, else the second", [place(f) for f in asked]),
        ):
            found = [word for word in words if word is not None]
            counts = [found.count(w) for w in (*WITHIN, locating.ELSEWHERE, locating.NOWHERE)]
            within = _of(counts[0] + counts[1], len(found))
            shown = " | ".join(map(str, counts))
            lines.append(f"| {column} | {by} | {len(found)} | {shown} | {within} |")
    return "\n".join(lines) + "\n"


def _models_asked(record: Record) -> list[str]:
    return list(dict.fromkeys(model for model, _, fault in rows(record) if "locate" in fault))


def _asked(record: Record, column: str) -> Iterator[Fault]:
    return (fault for _, c, fault in rows(record) if c == column and "locate" in fault)


def _escapes(record: Record) -> str:
    """Every fault that is not caught, by name."""
    lines = ["## What is not caught", ""]
    found = [(m, c, f) for m, c, f in rows(record) if not caught(f)]
    for model, column, fault in found:
        error = fault.get("signal_error")
        lines.append(
            f"- {model}.{column}, {fault['kind']} at `{fault['node']}`: {fault['description']}. "
            f"`signal_error` {error:.1e}."
        )
    if not found:
        lines.append("Nothing.")
    without = [
        f"- {model}.{column}, {fault['kind']} at `{fault['node']}`: {fault['description']}."
        for model, row in record["models"].items()
        for column, cell in row.items()
        for fault in cell["faults"]
        if idle(fault)
    ]
    if without:
        lines += [
            "",
            "Not counted, since they change no bit of any output, for all samples and edges:",
            "",
        ]
        lines += without
    return "\n".join(lines) + "\n"


def _of(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else "–"
