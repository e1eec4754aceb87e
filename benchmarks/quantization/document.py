"""What became of each case: kept as JSON, shown in `docs/quantization.md`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.quantization.cases import ANY, FORMATS, LEFT_OUT

RESULTS = Path(__file__).parents[1] / "results" / "quantization.json"
APART = 0.01
"""From how much on ours is larger, or smaller."""
WORSE = 0.05
"""From how much on ours errs more: the same settings may be rounded in another order."""

Record = dict[str, Any]
Row = Mapping[str, Any]


def updated(record: Record, machine: Row, pictures: int, found: Mapping[str, Record]) -> Record:
    """The record with these formats in it, in the order of `FORMATS`; others stay as they are."""
    formats = record.get("formats", {}) | dict(found)
    return {
        "machine": dict(machine),
        "pictures": pictures,
        "formats": {name: formats[name] for name in FORMATS if name in formats},
    }


def rows(record: Record) -> Iterator[tuple[str, str, Row, Row]]:
    """Format, case, ours and what was made by hand."""
    for name, cases in record["formats"].items():
        for case, row in cases.items():
            yield name, case, row["ours"], row["by_hand"]


def ratio(ours: Row, by_hand: Row) -> float:
    """Our size in parts of the other."""
    return float(ours["bytes"] / by_hand["bytes"])


def faults(record: Record) -> list[str]:
    """Where somebody would have lost by coming here."""
    found = []
    for name, case, ours, by_hand in rows(record):
        if ratio(ours, by_hand) > 1 + APART:
            found.append(f"{name} {case}: {ours['bytes']} bytes, by hand {by_hand['bytes']}")
        if by_hand["top1"] - ours["top1"] > chance(by_hand["top1"], record["pictures"]):
            found.append(f"{name} {case}: top-1 {ours['top1']}, by hand {by_hand['top1']}")
        errors = ours["signal_error"], by_hand["signal_error"]
        if errors[0] > (1 + WORSE) * errors[1]:
            found.append(f"{name} {case}: signal error {errors[0]}, by hand {errors[1]}")
    return found


def chance(rate: float, pictures: int) -> float:
    """How far two rates of independent samples are apart in 95 % of cases, by the normal approximation."""
    return 1.96 * math.sqrt(2 * max(rate * (1 - rate), 1 / pictures) / pictures)


def smaller(record: Record) -> list[str]:
    """The formats of which a file of ours is smaller by more than `APART`."""
    return list(
        dict.fromkeys(
            name for name, _, ours, other in rows(record) if ratio(ours, other) < 1 - APART
        )
    )


def table(record: Record) -> str:
    """One line a case."""
    lines = [
        "| format | library | case | bytes | by hand | ratio | top-1 | by hand | signal error | by hand |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| `{name}` | {FORMATS[name].library} | {case} | {ours['bytes']:,} | {by_hand['bytes']:,} "
        f"| {ratio(ours, by_hand):.3f} | {ours['top1']:.4f} | {by_hand['top1']:.4f} "
        f"| {ours['signal_error']:.2g} | {by_hand['signal_error']:.2g} |"
        for name, case, ours, by_hand in rows(record)
    ]
    return "\n".join(lines) + "\n"


def notes(record: Record) -> str:
    """Why files are smaller, and what is not compared."""
    lines = [f"- `{name}` is smaller: {FORMATS[name].smaller}." for name in smaller(record)]
    for (name, scheme), reason in LEFT_OUT.items():
        what = " ".join(f"`{word}`" for word in (name, scheme) if word != ANY)
        lines.append(f"- {what} is not compared: {reason}.")
    return "\n".join(lines) + "\n"
