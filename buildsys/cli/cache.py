"""`modelbuild cache`: status, gc, verify."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from buildsys.cli import options
from buildsys.cli.common import console, output_options, print_json
from buildsys.exit_status import ExitStatus

if TYPE_CHECKING:
    from buildsys.store.collection import Collector

Result = TypeVar("Result")


@click.group("cache")
def command() -> None:
    """Show, shrink and check the store.

    The store is the folder `MODELBUILD_CACHE`. By default it lies in your platform's cache folder.
    """


@command.command("status")
@output_options
def status_command(as_json: bool, color: str, quiet: bool, verbose: bool) -> None:
    """Show what the store holds, and what keeps it there."""
    from buildsys.engine.session import cache_root, toolchains_root
    from buildsys.report.screens.cache import print_usage

    limit = options.user_settings().max_size
    root = cache_root()
    usage = collecting(root, lambda collector: collector.status(toolchains_root(root)))
    if as_json:
        record = asdict(usage) | {"stored": asdict(usage.stored)}
        print_json({"version": 1, "folder": str(root), "limit": limit, **record})
    elif not quiet:
        print_usage(console(color), usage, root, limit)


@command.command("gc")
@click.option(
    "--max-size",
    type=options.limit,
    metavar="SIZE",
    help="How large the store may be: `20GiB`, `500MB`, `unlimited`. Default: your setting.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, without removing it.")
@output_options
def gc_command(
    max_size: int | None, dry_run: bool, as_json: bool, color: str, quiet: bool, verbose: bool
) -> None:
    """Remove unused files, least recently used first.

    Files of placed artifacts, of bundles and of running builds stay. A later build makes again what it
    needs.
    """
    from buildsys.engine.session import cache_root
    from buildsys.report.screens.cache import print_collected

    limit = options.user_settings().max_size if max_size is None else max_size
    bound = None if limit == options.NO_LIMIT else limit
    done = collecting(cache_root(), lambda each: each.collect(bound, dry_run=dry_run))
    if as_json:
        record = asdict(done) | {"bytes_after": done.bytes_after}
        print_json({"version": 1, "dry_run": dry_run, **record})
    elif not quiet:
        print_collected(console(color), done, dry_run=dry_run)


@command.command("verify")
@click.option(
    "--repair", is_flag=True, help="Remove damaged files. The next build makes them again."
)
@output_options
def verify_command(repair: bool, as_json: bool, color: str, quiet: bool, verbose: bool) -> int:
    """Hash every stored file; exit 1 if one is damaged."""
    from buildsys.engine.session import cache_root
    from buildsys.report.screens.cache import print_damage
    from buildsys.store import Store

    root = cache_root()
    count = sum(1 for _ in Store(root).objects.list())
    found = collecting(root, lambda each: each.verify(repair=repair))
    sound = all(damage.repaired for damage in found)
    if as_json:
        print_json(
            {"version": 1, "files": count, "sound": sound, "damaged": [asdict(d) for d in found]}
        )
    elif not quiet or found:
        print_damage(console(color), found, count)
    return ExitStatus.OK if sound else ExitStatus.FAILED


def collecting(root: Path, do: Callable[[Collector], Result]) -> Result:
    """Does something with the store; once more where its index turns out to be damaged."""
    from buildsys.store import DamagedIndex

    try:
        with opened(root) as collector:
            return do(collector)
    except DamagedIndex:
        with opened(root) as collector:
            return do(collector)


@contextmanager
def opened(root: Path) -> Iterator[Collector]:
    """The store below a folder, and its index."""
    from buildsys.store import Index, Store
    from buildsys.store.collection import Collector

    index = Index(root)
    try:
        yield Collector(root, Store(root), index)
    finally:
        index.close()
