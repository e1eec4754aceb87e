"""`modelbuild verify`."""

from __future__ import annotations

from pathlib import Path

import click

from buildsys.cli.common import (
    console,
    open_file,
    out_option,
    output_options,
    recipe_option,
    selector_argument,
)
from buildsys.cli.verifying.answer import Answer


@click.command("verify")
@selector_argument
@recipe_option
@output_options
@click.option(
    "--locate",
    metavar="LABEL",
    help="Find the first operation that differs from the original, and a fix. Exits 3 "
    "if one differs, 0 if none does.",
)
@click.option("--fix", is_flag=True, help="With `--locate`: write the fix into the recipe.")
@click.option("--suggest", is_flag=True, help="Measure on more samples and propose bounds.")
@click.option("--rebuild", is_flag=True, help="Run every step again and compare the bytes.")
@out_option
def command(
    selectors: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    color: str,
    quiet: bool,
    verbose: bool,
    locate: str | None,
    fix: bool,
    suggest: bool,
    rebuild: bool,
    out: Path | None,
) -> int:
    """Check the selected deployables again and show every bound, or look deeper into them.

    SELECTOR is a target, a label or a glob over labels, as for `build`.
    """
    asked = [
        name
        for name, on in (("--locate", locate), ("--suggest", suggest), ("--rebuild", rebuild))
        if on
    ]
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked)} are different questions: ask one at a time")
    if fix and not locate:
        raise click.UsageError("`--fix` mends what `--locate LABEL` finds: give both")
    recipe = open_file(file)
    answer = Answer(console(color), as_json, quiet, verbose, color)
    # Each question has a module of its own: what one needs is imported for it alone.
    if locate:
        from buildsys.cli.verifying import locate as locating

        return locating.run(recipe, locate, fix, answer, out)
    if suggest:
        from buildsys.cli.verifying import suggest as suggesting

        return suggesting.run(recipe, selectors, answer)
    if rebuild:
        from buildsys.cli.verifying import rebuild as rebuilding

        return rebuilding.run(recipe, selectors, answer)
    from buildsys.cli.verifying import judge

    return judge.run(recipe, selectors, answer, out)
