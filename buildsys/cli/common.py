"""What all commands share: options, and how to open a recipe and a console."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from buildsys.recipe.finding import find
from buildsys.terminal import json_text

if TYPE_CHECKING:
    from buildsys.engine.session import Session
    from buildsys.engine.unchanged import Unchanged
    from buildsys.recipe import Recipe

Command = TypeVar("Command", bound=Callable[..., Any])

RECIPE_NAME = "deploy.yaml"
MACHINE_WIDTH = 200


def recipe_option(function: Command) -> Command:
    """`-f/--file`."""
    return click.option(
        "-f",
        "--file",
        "file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"The recipe. Default: {RECIPE_NAME} in this folder or one above.",
    )(function)


def out_option(function: Command) -> Command:
    """`--out`, of commands that look at what `build` has placed."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="The artifacts' folder, as given to `build`.",
    )(function)


def output_options(function: Command) -> Command:
    """`--json`, `--color`, `-q`, `-v`."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Show more detail."),
        click.option("-q", "--quiet", is_flag=True, help="Show problems only."),
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            show_default=True,
            help="When to use colors. NO_COLOR is respected too.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ):
        function = option(function)
    return function


def selector_argument(function: Command) -> Command:
    """Target names, labels or globs over labels."""
    return click.argument("selectors", nargs=-1, metavar="[SELECTOR]...")(function)


def open_file(file: Path | None) -> Recipe:
    """The recipe that a command is about, validated.

    Raises:
        RecipeError: There is none, or it is wrong.
    """
    from buildsys.engine.session import load_catalog, open_recipe

    return open_recipe(_file(file), load_catalog())


def open_session(
    file: Path | None,
    selectors: Sequence[str],
    *,
    offline: bool = False,
    max_size: int | None = None,
    unchanged: Unchanged | None = None,
) -> Session:
    """A session for a recipe and what is selected of it; see `Session.open`.

    Raises:
        RecipeError: There is no recipe, or it is wrong.
    """
    from buildsys.engine.session import Session

    path = _file(file)
    return Session.open(path, selectors, offline=offline, max_size=max_size, unchanged=unchanged)


def _file(file: Path | None) -> Path:
    return file if file is not None else find(Path.cwd(), RECIPE_NAME)


def console(color: str, *, stderr: bool = False) -> Any:
    """A rich console that keeps to `--color`, NO_COLOR and the terminal's width."""
    from buildsys.report.screen import screen

    forced = None
    if color == "always" and not os.environ.get("NO_COLOR"):
        forced = True
    result = screen(
        stderr=stderr,
        force_terminal=forced,
        no_color=color == "never" or bool(os.environ.get("NO_COLOR")),
        highlight=False,
    )
    if not result.is_terminal and "COLUMNS" not in os.environ:
        result.width = MACHINE_WIDTH
    return result


def print_json(record: Any) -> None:
    """One JSON object on standard output."""
    click.echo(json_text(record, indent=1))
