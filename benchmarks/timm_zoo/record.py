"""What became of each family: kept as JSON after each, shown as `docs/coverage-timm.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.timm_zoo.families import FAMILIES
from benchmarks.timm_zoo.project import ENTRIES
from benchmarks.zoo.coverage import first_line
from buildsys.engine.verdicts import Status, Verdict

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "timm.json"
DOCUMENT = REPOSITORY / "docs" / "coverage-timm.md"
SOUND = (str(Status.VERIFIED), str(Status.CHECKED))

Cell = dict[str, Any]
Record = dict[str, dict[str, Cell]]

HEAD = """\
# Coverage of timm

One small model of every family of timm in four formats (Core ML in float16), by default options and bounds,
with weights as timm draws them. Written by `make test-zoo`, family by family: a run that is stopped goes on
where it was.

**{sound} of {cells} artifacts of {families} of {all} families** are verified or checked, {rejected} rejected.
A rejection is *confirmed* where a bound on the outputs does not hold on other inputs either; one that is not
would be a false alarm. `traced` is the least share of the numbers that are known to be the model's.

"""


def cell(verdict: Verdict) -> Cell:
    """A verdict as it is kept."""
    found: Cell = {"status": str(verdict.status)}
    if str(verdict.status) not in SOUND:
        found["cause"] = first_line(verdict.reason or "")
        found["bounds"] = list(dict.fromkeys(g.bound for g in verdict.gates if not g.passed))
    weights = (verdict.measurement or {}).get("weights")
    if weights:
        found["traced"] = float(f"{weights['traced']:.4f}")
        found["untried"] = weights["untried"]
    return found


def confirmed(first: Cell, again: Cell) -> bool:
    """Whether a rejection holds on other inputs, by what the outputs say."""
    outputs = set(again.get("bounds", ())) - {"weights"}
    return again["status"] == str(Status.REJECTED) and bool(outputs & set(first["bounds"]))


def alarms(record: Record) -> list[str]:
    """Rejections that nothing confirms."""
    return [
        f"{family}.{name}: {found['cause']}"
        for family, row in record.items()
        for name, found in row.items()
        if found["status"] == str(Status.REJECTED) and not found.get("confirmed")
    ]


def document(record: Record) -> str:
    """The whole of `docs/coverage-timm.md`."""
    cells = [found for row in record.values() for found in row.values()]
    head = HEAD.format(
        sound=sum(found["status"] in SOUND for found in cells),
        cells=len(cells),
        families=len(record),
        all=len(FAMILIES),
        rejected=sum(found["status"] == str(Status.REJECTED) for found in cells),
    )
    lines = [
        f"| family | model | {' | '.join(ENTRIES)} | traced |",
        "|---" * (len(ENTRIES) + 3) + "|",
    ]
    causes = []
    for family, row in sorted(record.items()):
        shown = [_shown(row.get(name)) for name in ENTRIES]
        traced = [found["traced"] for found in row.values() if "traced" in found]
        least = f"{100 * min(traced):.2f} %" if traced else "–"
        lines.append(f"| {family} | {FAMILIES[family][0]} | {' | '.join(shown)} | {least} |")
        for name, found in row.items():
            if found["status"] not in SOUND:
                told = {True: ", confirmed on other inputs", False: ", **not confirmed**"}
                more = told.get(found.get("confirmed", ""), "")
                causes.append(f"- {family}.{name}: {found['status']}{more}. {found['cause']}")
    text = head + "\n".join(lines) + "\n"
    return text + ("\n## What is not verified\n\n" + "\n".join(causes) + "\n" if causes else "")


def _shown(found: Cell | None) -> str:
    if found is None:
        return ""
    return {"verified": "✓", "checked": "checked"}.get(found["status"], f"**{found['status']}**")
