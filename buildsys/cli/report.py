"""`modelbuild report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buildsys.cli.common import (
    console,
    open_file,
    output_options,
    print_json,
    recipe_option,
    selector_argument,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buildsys.recipe import Recipe


@click.command("report")
@selector_argument
@recipe_option
@output_options
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Compare with an earlier `report.json` or bundle, and judge the recipe's bounds on it.",
)
@click.option(
    "--allow-breaking", is_flag=True, help="With `--against`: changes that break apps are meant."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The artifacts' folder, as for `build`.",
)
def command(
    selectors: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    color: str,
    quiet: bool,
    verbose: bool,
    against: Path | None,
    allow_breaking: bool,
    out: Path | None,
) -> int:
    """Show what the last build came to; build nothing.

    With `--against`, exit 3 when a bound against the earlier build does not hold, or when an app that
    was written for it breaks.
    """
    from buildsys.planner.selectors import select
    from buildsys.report.record import NAME, read_report

    if allow_breaking and against is None:
        raise click.UsageError("`--allow-breaking` is about what `--against FILE` finds: give both")
    recipe = open_file(file)
    folder = (out or recipe.folder / "artifacts").absolute()
    record = read_report(folder / NAME)
    if against is not None:
        found = _compared(recipe, record, against, selectors, allow_breaking)
        if as_json:
            print_json(found)
        elif not quiet or found["exit"]:
            from buildsys.report.comparison import print_comparison

            print_comparison(console(color), found, verbose=verbose)
        exit_status: int = found["exit"]
        return exit_status
    labels = [entry["label"] for entry in record["deployables"]]
    chosen = set(select(selectors, labels))
    entries = [entry for entry in record["deployables"] if entry["label"] in chosen]
    if as_json:
        print_json({**record, "deployables": entries})
    elif not quiet:
        from buildsys.planner.planning import entries as asked
        from buildsys.report.console import print_record

        unbuilt = [] if selectors else [e.label for e in asked(recipe) if e.label not in chosen]
        print_record(console(color), entries, unbuilt, verbose=verbose)
    return 0


def _compared(
    recipe: Recipe,
    record: Mapping[str, Any],
    against: Path,
    selectors: tuple[str, ...],
    allowed: bool,
) -> dict[str, Any]:
    from buildsys.diagnosis.comparing import compare
    from buildsys.diagnosis.earlier import read
    from buildsys.planner.planning import regression_bounds
    from buildsys.planner.selectors import select

    earlier = read(against)
    today = [entry["label"] for entry in record["deployables"]]
    labels = list(dict.fromkeys((*today, *earlier.entries)))
    return compare(
        record["deployables"],
        earlier,
        regression_bounds(recipe),
        project=record["project"],
        chosen=select(selectors, labels) if selectors else None,
        allowed=allowed,
    ).to_json()
