"""What became of each family: kept as JSON after each, shown as the second part of `docs/coverage.md`."""

from __future__ import annotations

from typing import Any

from benchmarks.timm_zoo.families import FAMILIES
from benchmarks.timm_zoo.project import ENTRIES
from benchmarks.zoo import coverage, two_parts
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.figures.floor import Cost

RESULTS = coverage.REPOSITORY / "benchmarks" / "results" / "timm.json"
DOCUMENT = coverage.DOCUMENT
SOUND = (str(Status.VERIFIED), str(Status.CHECKED))
REJECTED = str(Status.REJECTED)

FOUND = {
    "csatv2.openvino": (
        "`--locate` names the `GatherND` that the exporter writes adaptive pooling with: what it takes is "
        "right in OpenVINO, and what it gives is not; ONNX Runtime gives the original's from the same file"
    ),
}
"""What was found out of rejections, by hand."""

Cell = dict[str, Any]
Record = dict[str, dict[str, Cell]]

HEAD = """\
# Families of timm

One small model of every module of `timm.models` that registers any ({all}, timm 1.0.31) in four formats
(Core ML in float16), by default options and bounds, with weights as timm draws them. Written by
`make test-zoo`, family by family and the smallest first: a run that is stopped goes on where it was.
{left}
**{sound} of {cells} artifacts of {families} of {all} families** are verified or checked, {rejected} rejected,
{others} failed on the way. {confirmed} of the rejections are *confirmed*: a bound on the outputs does not
hold on other inputs either; one that is not would be a false alarm. {broken} are the precision's doing and
no converter's: the original in float16 is off by more than the bound as well, in torch.

`traced` is the least share of the numbers that are known to be the model's, `weights` the longest
comparison of weights (`verify.weights`, a step in a worker) in seconds.

"""


def cell(verdict: Verdict, seconds: float | None = None) -> Cell:
    """A verdict as it is kept.

    Args:
        verdict: The deployable's.
        seconds: How long the comparison of its weights took, where there was one.
    """
    found: Cell = {"status": str(verdict.status)}
    measured = verdict.measurement
    if str(verdict.status) not in SOUND:
        found["cause"] = coverage.first_line(verdict.reason or "")
        found["bounds"] = list(dict.fromkeys(g.bound for g in verdict.gates if not g.passed))
        found |= _of_precision(verdict)
    weights = measured.weights if measured is not None else None
    if weights is not None:
        found["traced"] = float(f"{weights.traced:.4f}")
        found["untried"] = weights.untried
    if seconds is not None:
        found["seconds"] = round(seconds, 1)
    return found


def _of_precision(verdict: Verdict) -> Cell:
    """What the scheme's own precision costs the model, beside the bound that did not hold."""
    measured = verdict.measurement
    failed = [g for g in verdict.gates if g.bound == "signal_error" and not g.passed]
    floors = measured.floors(verdict.deployable.quantized.scheme or "float32") if measured else {}
    for gate in failed:
        floor = floors.get(gate.output or "", Cost()).signal_error
        if floor is not None:
            return {"floor": float(f"{floor:.3g}"), "limit": gate.limit}
    return {}


def is_of_precision(found: Cell) -> bool:
    """Whether nothing but the precision is to blame: it costs the original more than the bound as well."""
    beyond = found.get("floor", 0.0) > found.get("limit", float("inf"))
    return beyond and set(found.get("bounds", ())) == {"signal_error"}


def confirmed(first: Cell, again: Cell) -> bool:
    """Whether a rejection holds on other inputs, by what the outputs say."""
    outputs = set(again.get("bounds", ())) - {"weights"}
    return again["status"] == REJECTED and bool(outputs & set(first["bounds"]))


def alarms(record: Record) -> list[str]:
    """Rejections that nothing confirms."""
    return [
        f"{family}.{name}: {found['cause']}"
        for family, row in record.items()
        for name, found in row.items()
        if found["status"] == REJECTED and not found.get("confirmed")
    ]


def write(record: Record) -> None:
    """Writes the document's part."""
    two_parts.write(DOCUMENT, timm=document(record))


def document(record: Record) -> str:
    """The second part of `docs/coverage.md`."""
    cells = [found for row in record.values() for found in row.values()]
    rejected = [found for found in cells if found["status"] == REJECTED]
    sound = sum(found["status"] in SOUND for found in cells)
    head = HEAD.format(
        sound=sound,
        cells=len(cells),
        families=len(record),
        all=len(FAMILIES),
        left=_left(record),
        rejected=len(rejected),
        others=len(cells) - sound - len(rejected),
        confirmed=sum(bool(found.get("confirmed")) for found in rejected),
        broken=sum(is_of_precision(found) for found in rejected),
    )
    lines = [
        f"| family | model | millions | {' | '.join(ENTRIES)} | traced | weights |",
        "|---" * (len(ENTRIES) + 5) + "|",
    ]
    for family, row in sorted(record.items()):
        member = FAMILIES[family]
        shown = " | ".join(_shown(row.get(name)) for name in ENTRIES)
        figures = f"{_least(row)} | {_longest(row)}"
        lines.append(f"| {family} | {member.title} | {member.millions:g} | {shown} | {figures} |")
    text = head + "\n".join(lines) + "\n"
    causes = [
        f"- {family}.{name}: {_cause(found, FOUND.get(f'{family}.{name}'))}"
        for family, row in sorted(record.items())
        for name, found in row.items()
        if found["status"] not in SOUND
    ]
    return text + ("\n## What is not verified\n\n" + "\n".join(causes) + "\n" if causes else "")


def _left(record: Record) -> str:
    left = [family for family in FAMILIES if family not in record]
    return f"Not built yet: {', '.join(left)}.\n" if left else ""


def _least(row: dict[str, Cell]) -> str:
    traced = [found["traced"] for found in row.values() if "traced" in found]
    return f"{100 * min(traced):.2f} %" if traced else "–"


def _longest(row: dict[str, Cell]) -> str:
    seconds = [found["seconds"] for found in row.values() if "seconds" in found]
    return f"{max(seconds):.1f}" if seconds else "–"


def _cause(found: Cell, more: str | None) -> str:
    told = {True: ", confirmed on other inputs", False: ", **not confirmed**"}
    text = f"{found['status']}{told.get(found.get('confirmed', ''), '')}. {found['cause']}"
    if is_of_precision(found):
        text += f". The precision itself costs the original {found['floor']:g} in torch"
    return f"{text}. {more}" if more else text


def _shown(found: Cell | None) -> str:
    if found is None:
        return ""
    return {"verified": "✓", "checked": "checked"}.get(found["status"], f"**{found['status']}**")
