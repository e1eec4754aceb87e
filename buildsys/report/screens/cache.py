"""`modelbuild cache` for people: what the store holds, what went, what is damaged. One screen each."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from buildsys.report.units import size
from buildsys.store.collection import Collected
from buildsys.store.damage import Damage
from buildsys.store.usage import Group, Usage

MOST = 20
"""Damaged files that are listed; the rest is counted."""


def print_usage(console: Console, usage: Usage, root: Path, limit: int | None) -> None:
    """What the cache holds, by what holds it there."""
    stored = usage.stored
    bound = "no limit" if limit is None else f"of {size(limit)}"
    _plain(console, f"{root}")
    _plain(console, "")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    _row(table, "stored files", stored, bound, "bold")
    _row(table, "  pinned", usage.pinned, "what artifacts and bundles hold")
    running = f"{usage.builds} running build{'' if usage.builds == 1 else 's'}"
    _row(table, "  in use", usage.leased, running)
    _row(table, "  other results", usage.results, f"{usage.traces} actions' results are known")
    hint = "`modelbuild cache gc` removes them" if usage.unreferenced.files else ""
    _row(table, "  unreferenced", usage.unreferenced, hint)
    _row(table, "logs", usage.logs, "within the limit; kept 30 days at most")
    saved = usage.interrupted
    failed = Group(usage.leftovers.files - saved.files, usage.leftovers.bytes - saved.bytes)
    _row(table, "failed steps", failed, "kept 7 days")
    note = "kept 7 days: the next build goes on from there" if saved.files else ""
    _row(table, "interrupted steps", saved, note)
    _row(table, "index", Group(1 if usage.index else 0, usage.index), "")
    total = Group(
        sum(group.files for group in usage.toolchains.values()),
        sum(group.bytes for group in usage.toolchains.values()),
    )
    _row(table, "toolchains", total, "outside of the limit", "bold")
    for name, group in usage.toolchains.items():
        _row(table, f"  {name}", group, "")
    console.print(table)


def _row(table: Table, name: str, group: Group, note: str, style: str = "") -> None:
    files = f"{group.files} file{'' if group.files == 1 else 's'}"
    table.add_row(Text(name, style), size(group.bytes), files, note)


def print_collected(console: Console, collected: Collected, *, dry_run: bool) -> None:
    """What a collection took out."""
    verb = "Would be removed" if dry_run else "Removed"
    files = f"{collected.files} file{'' if collected.files == 1 else 's'}"
    logs = (
        f" and {collected.logs} log{'' if collected.logs == 1 else 's'}" if collected.logs else ""
    )
    _plain(console, f"{verb}: {files}{logs}, {size(collected.freed_bytes)}.")
    left = "would stay" if dry_run else "stay"
    limit = "" if collected.limit is None else f"; the limit is {size(collected.limit)}"
    _plain(console, f"{size(collected.bytes_after)} {left}{limit}.")
    if collected.limit is not None and collected.bytes_after > collected.limit:
        _plain(
            console, f"{size(collected.held_bytes)} cannot go: artifacts, bundles or builds use it."
        )


def print_damage(console: Console, found: list[Damage], count: int) -> None:
    """What is wrong with stored files, and whose outputs they are."""
    if not found:
        _plain(console, f"All {count} stored files are what they were.")
        return
    for damage in found[:MOST]:
        _plain(console, f"{damage.digest[:19]}… {damage.problem}")
        for maker in damage.makers:
            _plain(console, f"  an output of {', '.join(maker.places) or maker.rule}")
        for place in damage.places:
            _plain(console, f"  needed by {place.partition(':')[2]}")
    if len(found) > MOST:
        _plain(console, f"and {len(found) - MOST} more: see `--json`")
    _plain(console, "")
    objects = f"{len(found)} of {count} stored files"
    if all(damage.repaired for damage in found):
        _plain(console, f"{objects} were damaged and are taken out; a build makes them again.")
        return
    console.print(f"error: {objects} are damaged", highlight=False, markup=False)
    hint = "`modelbuild cache verify --repair` takes them out; a build makes them again"
    _plain(console, f"hint: {hint}")


def _plain(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
