"""Tables and lines for people. Everything is readable without colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from buildsys.bounds import OUTPUT_CEILINGS, OUTPUT_FLOORS
from buildsys.engine.executors.local import log_tail
from buildsys.engine.outcome import ways_out
from buildsys.engine.outcome.verdicts import Status
from buildsys.engine.results import Build
from buildsys.engine.staleness.positions import failure_position
from buildsys.engine.staleness.unseen import NOT_KNOWN, described
from buildsys.exit_status import ExitStatus
from buildsys.figures.json_form import read
from buildsys.figures.weights import Weights
from buildsys.recipe import Diagnostic
from buildsys.report.record import entries as entries_of
from buildsys.report.screens.benchmarks import print_benchmarks
from buildsys.report.screens.candidates import print_searches
from buildsys.report.screens.histogram import bars
from buildsys.report.screens.lines import copied, duration, plain
from buildsys.report.units import size
from buildsys.verify.judgment.gate import Gate
from buildsys.verify.wording import summary

STYLES = {
    Status.VERIFIED: "green",
    Status.CHECKED: "cyan",
    Status.UNVERIFIED: "yellow",
    Status.REJECTED: "bold red",
    Status.FAILED: "bold red",
    Status.BLOCKED: "magenta",
}
NARROW = 110
MOST_DIGITS = 9

Entry = Mapping[str, Any]
"""One of `deployables` of a `report.json`."""


def tightest(gates: Iterable[Gate]) -> Gate | None:
    """The first gate that failed; else the error that uses most of its bound."""
    gates = list(gates)
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        return failed[0]
    errors = [gate for gate in gates if gate.bound in OUTPUT_CEILINGS and gate.limit]
    floors = [gate for gate in gates if gate.bound in OUTPUT_FLOORS]
    return max(errors, key=lambda gate: (gate.value or 0.0) / gate.limit, default=None) or (
        floors[0] if floors else None
    )


def gate_text(gate: Gate | None, digits: int = 2) -> str:
    """A bound and its value: `signal_error 2.2e-07 ≤ 0.0001`.

    Args:
        gate: The bound.
        digits: Of the value; more are given where it would seem to be on another side of the limit.
    """
    if gate is None:
        return "–"
    if gate.value is None:
        return f"{gate.bound} {gate.reason or 'unknown'}"
    floor = gate.bound in OUTPUT_FLOORS
    sign = ("≥" if floor else "≤") if gate.passed else ("<" if floor else ">")
    if gate.value.is_integer():
        return f"{gate.bound} {gate.value:.6g} {sign} {gate.limit:g}"
    side = _side(gate.value, gate.limit)
    while digits < MOST_DIGITS and _side(float(f"{gate.value:.{digits}g}"), gate.limit) != side:
        digits += 1
    return f"{gate.bound} {gate.value:.{digits}g} {sign} {gate.limit:g}"


def _side(value: float, limit: float) -> int:
    """-1, 0 or 1: below, at or above."""
    return (value > limit) - (value < limit)


def latency(measurement: Mapping[str, Any] | None) -> str:
    """The median, and the 95th percentile, in milliseconds."""
    figures = measurement.get("latency_ms") if measurement else None
    if not figures:
        return "–"
    return f"{figures['p50']:.2f} / {figures['p95']:.2f} ms"


def metric(measurement: Mapping[str, Any] | None) -> str:
    """The task's metric, and the original's; before and after transforms, where it has them."""
    found = measurement.get("metric") if measurement else None
    if not found:
        return "–"
    before = _score(found["reference"])
    if found.get("transformed") is not None:
        before += f" → {_score(found['transformed'])}"
    return f"{_score(found['value'])} ({before})"


def _score(value: float | None) -> str:
    """A metric's value, which may be not finite."""
    return "not finite" if value is None else f"{value:.3f}"


def table(entries: Iterable[Entry], width: int) -> Table:
    """The table of deployables; on a narrow terminal, without what matters least.

    Args:
        entries: Entries of a `report.json`.
        width: Of the terminal, in characters.
    """
    entries, wide = list(entries), width >= NARROW
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("deployable", no_wrap=True, overflow="fold")
    statuses = [len(shown_status(entry)) for entry in entries]
    grid.add_column("status", no_wrap=True, min_width=max(statuses, default=0))
    grid.add_column("size", justify="right", no_wrap=True)
    if wide:
        grid.add_column("of float", justify="right", no_wrap=True)
    grid.add_column("nearest bound", no_wrap=True)
    if wide:
        grid.add_column("metric (original)", no_wrap=True)
        grid.add_column("latency p50 / p95", justify="right", no_wrap=True)
        grid.add_column("memory", justify="right", no_wrap=True)
    for entry in entries:
        ratio, figures = entry["size_ratio"], entry["measurement"]
        gates = [Gate.from_json(gate) for gate in entry["gates"]]
        row: list[str | Text] = [
            Text(entry["label"]),
            Text(shown_status(entry), STYLES[Status(entry["status"])]),
            size(entry["bytes"]),
        ]
        if wide:
            row.append("–" if ratio is None else f"{ratio:.2f}")
        row.append(gate_text(tightest(gates), digits=2 if wide else 1))
        if wide:
            memory = figures.get("peak_rss_bytes") if figures else None
            row += [metric(figures), latency(figures), size(memory)]
        grid.add_row(*row)
    return grid


def shown_status(entry: Entry) -> str:
    """A status, with a mark where the deployable's inputs are not fully known."""
    return f"{entry['status']}{' (?)' if entry.get('inputs_not_known') else ''}"


def print_build(console: Console, build: Build, seconds: float, *, verbose: bool = False) -> None:
    """The table, then what has to be said, then the counts."""
    entries = entries_of(build)
    console.print(table(entries, console.width))
    if verbose:
        print_gates(console, entries)
    print_outcome(console, build, entries, seconds)


def print_outcome(console: Console, build: Build, entries: Sequence[Entry], seconds: float) -> None:
    """Reasons, notes and failures, then the counts."""
    # A failure is shown with its log and a way out.
    print_said(console, entries, [e for e in entries if e["status"] != Status.FAILED])
    for entry in entries:
        if "search" in entry:
            search = entry["search"]
            text = f"{entry['label']}: `{entry['quantization']}` chose `{search['profile']}`"
            if not search["passed"]:
                text = f"{entry['label']}: nothing that `{entry['quantization']}` chooses from "
                text += f"passes; nearest is `{search['profile']}`"
            plain(console, text, style="cyan")
    _print_failures(console, build)
    _print_where_to_look(console, build)
    summary = build.summary()
    counts = f"{summary['ran']} ran, {summary['hit']} up to date"
    counts += "".join(f", {summary[k]} {k}" for k in ("failed", "blocked") if summary[k])
    console.print()
    console.print(
        f"{tally(entries)}. Actions: {counts}. {duration(seconds)}",
        soft_wrap=True,
        highlight=False,
    )
    console.print(str(build.folder), style="dim", soft_wrap=True, highlight=False, markup=False)
    if build.exit == ExitStatus.REJECTED and all(e["status"] != Status.REJECTED for e in entries):
        what = "not everything is verified"
        if all(e["status"] != Status.UNVERIFIED for e in entries):
            what = f"not everything has all of its inputs known ({NOT_KNOWN})"
        console.print(f"error: `--strict`, and {what}", highlight=False)


def print_record(
    console: Console,
    entries: Sequence[Entry],
    *,
    verbose: bool = False,
) -> None:
    """What a build has left on record, as `print_build` shows it.

    Args:
        console: Where to.
        entries: Of a `report.json`.
        verbose: Whether every bound is shown.
    """
    console.print(table(entries, console.width))
    print_benchmarks(console, entries)
    if verbose:
        print_gates(console, entries)
    print_said(console, entries, entries)
    print_searches(console, entries)
    for entry in entries:
        if entry.get("log"):
            copied(console, f"log of {entry['label']}: {entry['log']}")
    console.print()
    console.print(f"{tally(entries)}.", soft_wrap=True, highlight=False)


def print_unbuilt(console: Console, labels: Sequence[str]) -> None:
    """Which deployables the last build did not build, and the command that builds them."""
    if not labels:
        return
    targets = dict.fromkeys(label.partition("/")[0] for label in labels)
    plain(console, f"not built by the last build: {', '.join(labels)}")
    plain(console, f"hint: run `modelbuild build {' '.join(targets)}`")


def tally(entries: Sequence[Entry]) -> str:
    """How many deployables have each status."""
    statuses = [entry["status"] for entry in entries]
    found = ", ".join(f"{statuses.count(s)} {s}" for s in dict.fromkeys(statuses))
    marked = sum(bool(entry.get("inputs_not_known")) for entry in entries)
    found += f" ({marked} with {NOT_KNOWN})" if marked else ""
    return f"{len(statuses)} deployable{'s' if len(statuses) > 1 else ''}: {found}"


def print_said(console: Console, entries: Iterable[Entry], reasoned: Sequence[Entry]) -> None:
    """Reasons and notes, each once with the deployables that it is true of.

    Args:
        console: Where to.
        entries: The entries whose notes are said.
        reasoned: Those whose reasons are.
    """
    said: dict[str, list[str]] = {}
    for entry in reasoned:
        if entry["reason"] is not None:
            said.setdefault(f"{entry['status']}: {entry['reason']}", []).append(entry["label"])
    for entry in entries:
        if entry.get("inputs_not_known"):
            text = described(entry["inputs_not_known"])
            said.setdefault(text, []).append(entry["label"])
        for note in entry["notes"]:
            said.setdefault(f"note: {note}", []).append(entry["label"])
    if said:
        console.print()
    for text, labels in said.items():
        plain(console, text)
        plain(console, f"  {', '.join(labels)}", style="dim")
    _print_spreads(console, reasoned)


def idle_text(console: Console, build: Build) -> str:
    """What the next build prints, if nothing changes until then."""
    idle = replace(build, run=replace(build.run, executed=[]))
    with console.capture() as captured:
        print_build(console, idle, 0.0)
    return captured.get()


def print_gates(console: Console, entries: Iterable[Entry]) -> None:
    """Every bound of each entry, a line each."""
    for entry in entries:
        for gate in map(Gate.from_json, entry["gates"]):
            sign = Text("pass", "green") if gate.passed else Text("FAIL", "bold red")
            where = f" {gate.output}" if gate.output else ""
            where += f" at {', '.join(f'{s} = {n}' for s, n in gate.at.items())}" if gate.at else ""
            text = Text.assemble("  ", sign, f" {entry['label']}{where} {gate_text(gate)}")
            console.print(text, soft_wrap=True, highlight=False)
        if entry.get("calibration"):
            line = f"  ranges of {entry['label']}: {calibrated(entry['calibration'])}"
            console.print(line, soft_wrap=True, highlight=False, markup=False)
        weights = (entry["measurement"] or {}).get("weights")
        if weights is not None:
            line = f"  weights of {entry['label']}: {summary(read(Weights, weights))}"
            console.print(line, soft_wrap=True, highlight=False, markup=False)


def calibrated(calibration: Mapping[str, Any]) -> str:
    """How ranges of activations were taken, in a line."""
    tensors, runs = calibration["tensors"], calibration["runs"]
    return (
        f"{tensors} tensor{'s' if tensors != 1 else ''} by {calibration['method']}, "
        f"{runs} run{'s' if runs != 1 else ''} (`--ranges` shows them)"
    )


def print_ranges(console: Console, label: str, found: Mapping[str, Any]) -> None:
    """All ranges of an artifact, as `kit.quantize.ranges` writes them."""
    plain(console, f"{label}: ranges by {found['method']} over {found['runs']} runs")
    for way, error in (found["tried"] or {}).items():
        said = "not finite" if error is None else f"{error:.2g}"
        plain(console, f"  {way}: signal error {said} on held-out data", style="dim")
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("tensor", overflow="fold")
    for title in ("least", "greatest"):
        grid.add_column(title, justify="right", no_wrap=True)
    grid.add_column("channels", justify="right", no_wrap=True)
    for tensor in found["tensors"]:
        lows, highs = zip(*tensor["ranges"], strict=True)
        grid.add_row(Text(tensor["name"]), f"{min(lows):.4g}", f"{max(highs):.4g}", str(len(lows)))
    console.print(grid)


def _print_spreads(console: Console, entries: Iterable[Entry]) -> None:
    """Of what was rejected, how the errors of outputs beyond a bound are spread over the samples."""
    for entry in entries:
        if entry["status"] != Status.REJECTED or entry["measurement"] is None:
            continue
        gates, figures = map(Gate.from_json, entry["gates"]), entry["measurement"]["outputs"]
        beyond = dict.fromkeys(
            g.output for g in gates if g.output and not (g.passed or g.at or g.case)
        )
        for output in beyond:
            ascii_only = console.options.ascii_only
            lines = list(bars(figures.get(output, {}), ascii_only=ascii_only))
            if lines:
                console.print()
                title = f"{entry['label']}: samples by their error in {output}"
                plain(console, title, style="dim")
            for line in lines:
                copied(console, line)


def _print_where_to_look(console: Console, build: Build) -> None:
    """Which command finds the operation at fault, where something is wrong with what is computed."""
    labels = [
        verdict.deployable.label
        for verdict in build.verdicts
        if verdict.deployable.probed
        and any(gate.output is not None and not gate.passed for gate in verdict.gates)
    ]
    if labels:
        label = labels[0] if len(labels) == 1 else "LABEL"
        console.print()
        plain(console, f"hint: `modelbuild verify --locate {label}` finds the operation at fault")


def _print_failures(console: Console, build: Build) -> None:
    """Each failure once, however many steps it stopped: what, where, the way out, the log."""
    alike: dict[tuple[str, str | None], list[str]] = {}
    for name, failed in build.run.failures.items():
        alike.setdefault((failed.message, failed.field), []).append(name)
    for names in alike.values():
        actions = [build.graph.actions[name] for name in names]
        failed = build.run.failures[names[0]]
        rules = " and ".join(dict.fromkeys(action.rule for action in actions))
        labels = dict.fromkeys(label for action in actions for label in action.labels)
        console.print()
        position = failure_position(build.recipe, actions[0], failed.field)
        hint, instead = ways_out.of_failure(build.graph, build.run.failures, names[0])
        finding = Diagnostic(f"{rules}: {failed.message}", position, hint)
        plain(console, finding.render())
        if failed.hint is not None and instead:
            others = ", ".join(instead)
            plain(console, f"formats that do not need {actions[0].rule}: {others}")
        plain(console, f"stopped: {', '.join(labels)}")
        if failed.hint is None and failed.log is not None:
            for line in log_tail(failed.log):
                plain(console, f"  │ {line}")
        if failed.log is not None:
            copied(console, f"log: {failed.log}")
        if failed.rerun is not None:
            copied(console, f"repeat the step: {failed.rerun}")
