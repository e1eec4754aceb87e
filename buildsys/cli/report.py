"""`modelbuild report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buildsys.cli.common import (
    console,
    open_file,
    out_option,
    output_options,
    print_json,
    recipe_option,
    selector_argument,
)
from buildsys.exit_status import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buildsys.recipe import Recipe
    from buildsys.report.comparison import Comparison


@click.command("report")
@selector_argument
@recipe_option
@output_options
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Compare with an earlier `report.json` or bundle, and check the recipe's bounds on changes.",
)
@click.option(
    "--allow-breaking", is_flag=True, help="With `--against`: accept changes that break apps."
)
@click.option(
    "--ranges",
    metavar="LABEL",
    help="Show the activation ranges that calibration found for one artifact.",
)
@click.option(
    "--sensitivity",
    metavar="LABEL",
    help="Quantize each layer of a deployable alone and show its error. Builds what it needs.",
)
@out_option
def command(
    selectors: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    color: str,
    quiet: bool,
    verbose: bool,
    against: Path | None,
    allow_breaking: bool,
    ranges: str | None,
    sensitivity: str | None,
    out: Path | None,
) -> int:
    """Show the results of the last build. Only `--sensitivity` builds anything.

    With `--against`, the exit status is 3 if a bound on changes does not hold, or if an app written for
    the earlier build would break.
    """
    from buildsys.figures.json_form import to_json
    from buildsys.planner.selectors import select
    from buildsys.report.record import NAME, read_report

    if ranges is not None and (selectors or against is not None):
        raise click.UsageError("`--ranges LABEL` shows one artifact's ranges: give nothing besides")
    if allow_breaking and against is None:
        raise click.UsageError("`--allow-breaking` is about what `--against FILE` finds: give both")
    if sensitivity is not None and (selectors or against is not None):
        raise click.UsageError("`--sensitivity LABEL` stands alone: drop the rest")
    recipe = open_file(file)
    if sensitivity is not None:
        return _sensitivity(recipe, sensitivity, as_json, color, quiet, verbose)
    folder = (out or recipe.folder / "artifacts").absolute()
    record = read_report(folder / NAME)
    if ranges is not None:
        found = _ranges(recipe, record, ranges)
        if as_json:
            print_json(found)
        elif not quiet:
            from buildsys.report.screens.console import print_ranges

            print_ranges(console(color), ranges, found)
        return 0
    if against is not None:
        comparison = _compared(recipe, record, against, selectors, allow_breaking)
        if as_json:
            print_json(to_json(comparison))
        elif not quiet or comparison.exit:
            from buildsys.report.screens.comparison import print_comparison

            print_comparison(console(color), comparison, verbose=verbose)
        return comparison.exit
    chosen = select(selectors, _labels(recipe, record))
    entries = [entry for entry in record["deployables"] if entry["label"] in chosen]
    built = {entry["label"] for entry in entries}
    unbuilt = [label for label in chosen if label not in built]
    if as_json:
        print_json({**record, "deployables": entries, "not_built": unbuilt})
    elif not quiet:
        from buildsys.report.screens.console import print_record, print_unbuilt

        shown = console(color)
        if entries:
            print_record(shown, entries, verbose=verbose)
        print_unbuilt(shown, unbuilt)
    return 0


def _labels(recipe: Recipe, record: Mapping[str, Any]) -> list[str]:
    """The recipe's labels, and those that the last build had and the recipe has no more."""
    from buildsys.planner.entries import entries

    asked = [entry.label for entry in entries(recipe)]
    return list(dict.fromkeys((*asked, *(e["label"] for e in record["deployables"]))))


def _ranges(recipe: Recipe, record: Mapping[str, Any], label: str) -> dict[str, Any]:
    """All ranges of one artifact of the last build, out of the store.

    Raises:
        NoMatch: Neither the recipe nor the last build has such an artifact.
        RecordError: It was not built or not calibrated, or the store holds its ranges no more.
    """
    import json

    from buildsys.engine.session import cache_root
    from buildsys.planner.selectors import select
    from buildsys.report.record import RecordError
    from buildsys.store import CorruptObject, Store

    chosen = select([label], _labels(recipe, record))
    entries = [entry for entry in record["deployables"] if entry["label"] in chosen]
    if not entries:
        raise RecordError(
            f"the last build did not build `{label}`", f"run `modelbuild build {label}`"
        )
    if len(entries) > 1:
        raise click.UsageError(f"`--ranges` shows one artifact, and `{label}` names {len(entries)}")
    calibration = entries[0].get("calibration")
    if calibration is None:
        raise RecordError(
            f"`{label}` was not calibrated", "only the scheme `static`, also in `mixed`, has ranges"
        )
    try:
        data = Store(cache_root()).read(calibration["ranges"])
    except CorruptObject as error:
        raise RecordError(
            f"the ranges of `{label}` are not in the store any more",
            "`modelbuild build` makes them",
        ) from error
    return {"label": label, **json.loads(data)}


def _sensitivity(
    recipe: Recipe, label: str, as_json: bool, color: str, quiet: bool, verbose: bool
) -> int:
    """Shows what quantizing each layer of a deployable alone costs.

    Returns:
        0; 1 where a step failed, 2 where its layers cannot be quantized one by one, 5 for environments.
    """
    from buildsys.cli import errors
    from buildsys.cli.build import chosen
    from buildsys.cli.options import user_settings
    from buildsys.engine.session import Session
    from buildsys.planner.verification.sensitivity import NoSensitivity
    from buildsys.report.progress import Progress
    from buildsys.report.screens.sensitivity import print_sensitivity
    from buildsys.search.sensitivity import sensitivity

    shown = Progress(console(color, stderr=True), quiet=quiet or as_json, verbose=verbose)
    settings = chosen(None, 1, None, None, None)
    try:
        with Session(recipe, max_size=user_settings().max_size) as session, shown:
            found = sensitivity(session, label, settings=settings, listener=shown)
    except NoSensitivity as error:
        errors.say_error(error.message, error.hint)
        return ExitStatus.USAGE
    except ValueError as error:
        errors.say_error(str(error), "name one deployable by its label")
        return ExitStatus.USAGE
    if found.run.environment_error is not None:
        raise found.run.environment_error
    if found.record is None:
        for name, failure in found.run.failures.items():
            rule = found.graph.actions[name].rule
            errors.say_error(f"{rule}: {failure.message}", failure.hint)
            return ExitStatus.FAILED
        reason = next(iter(found.run.skipped.values()), "nothing was run")
        errors.say_error(f"it cannot be looked into here: {reason}", None)
        return ExitStatus.ENVIRONMENT
    if as_json:
        print_json(found.to_json())
    elif not quiet:
        print_sensitivity(console(color), found.to_json())
    return 0


def _compared(
    recipe: Recipe,
    record: Mapping[str, Any],
    against: Path,
    selectors: tuple[str, ...],
    allowed: bool,
) -> Comparison:
    from buildsys.diagnosis.comparing import compare
    from buildsys.diagnosis.earlier import entries, read
    from buildsys.planner.entries import regression_bounds
    from buildsys.planner.selectors import select

    earlier = read(against)
    today = [entry["label"] for entry in record["deployables"]]
    labels = list(dict.fromkeys((*today, *earlier.entries, *_labels(recipe, record))))
    return compare(
        entries(record["deployables"]),
        earlier,
        regression_bounds(recipe),
        project=record["project"],
        chosen=select(selectors, labels) if selectors else None,
        allowed=allowed,
    )
