"""A comparison with an earlier build, for people: a table, then what breaks and what does not hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from buildsys.report.comparison import (
    Change,
    Compared,
    Comparison,
    EarlierBuild,
    ErrorChange,
    Latency,
    MetricChange,
    StatusChange,
)
from buildsys.report.screens.console import NARROW
from buildsys.report.units import size
from buildsys.verify.judgment.gate import Gate

BAD, GOOD, DIM = "bold red", "green", "dim"
SAME = 0.005
"""A share of change below which a figure counts as the same, for the eye."""
STATUS_STYLES = {"worse": BAD, "better": GOOD, "same": ""}
LATENCY_STYLES = {"slower": BAD, "faster": GOOD, "same": "", "unknown": DIM}


def print_comparison(console: Console, found: Comparison, *, verbose: bool = False) -> None:
    """The table, the changes, the bounds, and the verdict."""
    _line(console, f"compared with {_named(found.earlier)}", style=DIM)
    if found.deployables:
        console.print(table(found.deployables, console.width))
    for word, labels, style in (("added", found.added, GOOD), ("removed", found.removed, BAD)):
        for label in labels:
            _line(console, f"{word}: {label}", style=style)
    for deployable in found.deployables:
        lines = list(_told(deployable, verbose))
        if lines:
            console.print()
            _line(console, deployable.label, style="bold")
        for text, style in lines:
            _line(console, f"  {text}", style=style)
    console.print()
    for text, style in _verdict(found):
        _line(console, text, style=style)


def table(deployables: Sequence[Compared], width: int) -> Table:
    """Each deployable in a line; on a narrow terminal, changes alone and not what they are between."""
    wide = width >= NARROW
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("deployable", no_wrap=True, overflow="fold")
    grid.add_column("status", no_wrap=True, overflow="fold")
    for name in ("size", "signal error", "metric", "latency"):
        # Words that explain stand below: a cell is short.
        grid.add_column(name, justify="right", no_wrap=True, overflow="fold")
    for each in deployables:
        grid.add_row(
            Text(each.label),
            _status(each.status, wide),
            _size(each, wide),
            _error(each.errors, wide),
            _metric(each.metric, wide),
            _latency(each.latency, wide),
        )
    return grid


def _status(status: StatusChange, wide: bool) -> Text:
    before, now = status.before, status.now
    text = now if before == now else f"{before} → {now}" if wide else f"→ {now}"
    return Text(text, STATUS_STYLES[status.change])


def _size(each: Compared, wide: bool) -> Text:
    found = each.size
    if found.ratio is None:
        return Text("–")
    if each.same_bytes:
        return Text(f"{size(found.now)} =" if wide else "=", DIM)
    change = _change(found.ratio)
    if not wide:
        return Text(change)
    return Text(f"{size(found.before)} → {size(found.now)} {change}")


def _error(errors: Sequence[ErrorChange], wide: bool) -> Text:
    """The signal error of the output that has the greatest now."""
    both = [
        (e.now, e.before)
        for e in errors
        if e.figure == "signal_error" and e.before is not None and e.now is not None
    ]
    if not both:
        return Text("–")
    now, before = max(both, key=lambda pair: pair[0])
    if before == now:
        return Text(f"{now:.1e} =" if wide else "=", DIM)
    times = f"×{now / before:.2g}" if before else "from 0"
    if not wide:
        return Text(times)
    return Text(f"{before:.1e} → {now:.1e} {times}")


def _metric(metric: MetricChange, wide: bool) -> Text:
    before = metric.before.value if metric.before else None
    now = metric.now.value if metric.now else None
    if metric.loss is None or before is None or now is None:
        return Text("–")
    if before == now:
        return Text(f"{now:.4f} =" if wide else "=", DIM)
    change = f"{now - before:+.4f}"
    style = BAD if metric.loss > 0 else GOOD
    return Text(f"{before:.4f} → {now:.4f}" if wide else change, style)


def _latency(latency: Latency | None, wide: bool) -> Text:
    if latency is None or latency.ratio is None:
        return Text("–")
    verdict = latency.verdict
    # A sign for what was shown; without one the difference may be noise.
    shown = {"slower": " slower", "faster": " faster", "same": " =", "unknown": " ?"}[verdict]
    style = LATENCY_STYLES[verdict]
    change = _change(latency.ratio) if verdict != "same" else ""
    if not wide:
        return Text(f"{change}{shown}".strip(), style or DIM)
    before, now = latency.before.p50, latency.now.p50
    return Text(f"{before:.3g} → {now:.3g} ms {change}{shown}".replace("  ", " "), style)


def _change(ratio: float) -> str:
    if abs(ratio - 1) < SAME:
        return "±0 %"
    return f"{(ratio - 1) * 100:+.0f} %" if ratio < 10 else f"×{ratio:.0f}"


def _told(each: Compared, verbose: bool) -> Iterator[tuple[str, str]]:
    """What a table has no room for, the worst first."""
    status = each.status
    if status.change != "same" and status.reason:
        yield f"{status.now}: {status.reason}", BAD if status.change == "worse" else ""
    for gate in each.bounds:
        if not gate.passed:
            yield _bound(gate), BAD
    for change in sorted(each.io, key=lambda c: not c.breaking):
        sign, style = ("BREAKS", BAD) if change.breaking else ("harmless", DIM)
        yield f"{sign}: {io_text(change)}", style
    if not each.io_known:
        yield "io: one of the two contracts is not known, so nothing is said of it", DIM
    for gate in each.bounds:
        if gate.passed:
            yield _bound(gate), ""
    latency = each.latency
    if latency is not None and latency.verdict == "unknown":
        yield f"latency: {latency.reason}", DIM
    if each.metric.loss is None and each.metric.before and each.metric.now:
        yield f"metric: {each.metric.reason}", DIM
    for cause in each.causes:
        yield f"{cause.what}: {_value(cause.before)} → {_value(cause.now)}", DIM
    if verbose:
        yield from ((text, "") for text in _figures(each))


def _figures(each: Compared) -> Iterator[str]:
    for error in each.errors:
        before, now = _number(error.before), _number(error.now)
        yield f"{error.output} {error.figure}: {before} → {now}"
    latency = each.latency
    if latency is not None:
        parts = []
        for median in (latency.before, latency.now):
            known = median.low is not None and median.high is not None
            interval = f" ({median.low:.4g} to {median.high:.4g})" if known else ""
            parts.append(f"{median.p50:.4g}{interval}")
        yield f"latency p50, and where it lies: {' → '.join(parts)} ms"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _bound(gate: Gate) -> str:
    if gate.value is None:
        return f"FAIL {gate.bound}: {gate.reason}"
    sign = "≤" if gate.passed else ">"
    word = "pass" if gate.passed else "FAIL"
    reason = f" ({gate.reason})" if gate.reason else ""
    tells = not gate.passed and gate.least is not None
    least = f"; {gate.least:.3g} would pass" if tells else ""
    return f"{word} {gate.bound} {gate.value:.3g} {sign} {gate.limit:.3g}{reason}{least}"


def io_text(change: Change) -> str:
    """A change of the io contract in words."""
    side = change.side.removesuffix("s")
    what, name = change.what, change.name
    before, now = _value(change.before), _value(change.now)
    if what == "renamed":
        return f"{side} `{name}` is called `{change.now}`"
    if what == "removed":
        return f"{side} `{name}` ({before}) is gone"
    if what == "added":
        return f"{side} `{name}` ({now}) is new"
    if what == "order":
        return f"the {change.side} stand in another order: {now}, before {before}"
    return f"{side} `{name}`: {what} {before} → {now}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        shown = ", ".join(map(str, value))
        return f"[{shown}]" if len(shown) <= 60 else f"[{shown[:57]}…]"
    if isinstance(value, Mapping):
        shown = ", ".join(f"{key}: {_value(item)}" for key, item in value.items())
        return "{" + (shown if len(shown) <= 60 else shown[:57] + "…") + "}"
    return str(value)


def _named(earlier: EarlierBuild) -> str:
    release = f", release {earlier.release}" if earlier.release else ""
    target = f", of {earlier.target} alone" if earlier.target else ""
    return f"{earlier.path}{release}{target}"


def _verdict(found: Comparison) -> Iterator[tuple[str, str]]:
    summary = found.summary
    if found.earlier.project not in (None, found.project):
        yield (
            f"note: that is of the project `{found.earlier.project}`, this is `{found.project}`",
            "yellow",
        )
    if not summary.compared:
        yield "nothing was compared: the two builds share no label", "yellow"
    if summary.bounds_failed:
        count = summary.bounds_failed
        yield f"{count} bound{'s do' if count > 1 else ' does'} not hold", BAD
    if found.breaking and found.allowed:
        yield "breaking changes, which `--allow-breaking` accepts", "yellow"
    elif found.breaking:
        yield "an app that was written for the earlier build breaks", BAD
        yield "hint: `--allow-breaking` accepts that", ""
    if not found.exit:
        yield "no bound fails, and nothing that is not accepted breaks", ""


def _line(console: Console, text: str, style: str = "") -> None:
    """Text as it is: wrapped at words on a terminal, not at all in a log."""
    wrap = console.is_terminal
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not wrap)
