"""How deployables were judged, bound by bound."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from buildsys.bounds import OUTPUT_FLOORS
from buildsys.engine.outcome.verdicts import Status
from buildsys.engine.results import Build
from buildsys.report.record import entries as entries_of
from buildsys.report.screens.console import STYLES, Entry, print_outcome, shown_status
from buildsys.verify.judgment.gate import Gate

UNASKED = ("finite", "shape", "dtype")


def print_judgement(
    console: Console, build: Build, seconds: float, *, verbose: bool = False
) -> None:
    """Each deployable with its bounds; then what `build` says as well.

    Args:
        console: Where to.
        build: What was judged.
        seconds: How long it took.
        verbose: Whether what holds unasked (finite values, shape, type) is shown where it does.
    """
    entries = entries_of(build)
    for number, entry in enumerate(entries):
        if number:
            console.print()
        title = Text(entry["label"], "bold")
        title.append("  ")
        title.append(shown_status(entry), STYLES[Status(entry["status"])])
        held = f"  held to `{entry['accept']}`" if entry["gates"] else ""
        title.append(held, "dim")
        console.print(title, soft_wrap=True)
        gates = [Gate.from_json(gate) for gate in entry["gates"]]
        shown = [g for g in gates if verbose or not g.passed or g.bound not in UNASKED]
        if shown:
            console.print(_bounds(entry, shown))
    print_outcome(console, build, entries, seconds)


def _bounds(entry: Entry, gates: Sequence[Gate]) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading, right in (("", False), ("bound", False), ("output", False), ("value", True)):
        grid.add_column(heading, justify="right" if right else "left", no_wrap=True)
    grid.add_column("limit", no_wrap=True)
    grid.add_column("worst sample", justify="right", no_wrap=True)
    grid.add_column("")
    for gate in gates:
        sign = Text("  pass", "green") if gate.passed else Text("  FAIL", "bold red")
        floor = gate.bound in OUTPUT_FLOORS
        grid.add_row(
            sign,
            gate.bound,
            gate.output or "–",
            "–" if gate.value is None else f"{gate.value:.3g}",
            f"{'≥' if floor else '≤'} {gate.limit:.3g}",
            _worst(entry, gate),
            _remark(gate),
        )
    return grid


def _worst(entry: Entry, gate: Gate) -> str:
    """The number of the worst sample, and its own error."""
    if gate.worst is None or gate.at or gate.case:
        return ""
    error = entry["measurement"]["outputs"][gate.output]["worst"]["signal_error"]
    return str(gate.worst) if error is None else f"{gate.worst} ({error:.1e})"


def _remark(gate: Gate) -> str:
    """Where the value is from, and what is to be said of it."""
    said = [f"at {', '.join(f'{s} = {n}' for s, n in gate.at.items())}"] if gate.at else []
    said += [f"for {gate.case}"] if gate.case else []
    said += [gate.reason] if gate.reason else []
    if not gate.passed and gate.least is not None:
        said.append(f"{gate.least:.12g} would pass")
    return "; ".join(said)
