"""Errors that the user can act on: their text and their exit status."""

from __future__ import annotations

import click

from buildsys.exit_status import ExitStatus
from buildsys.planner.catalog import CatalogError
from buildsys.planner.selectors import NoMatch
from buildsys.recipe import RecipeError
from buildsys.release.bundle import BundleError
from buildsys.report.record import RecordError
from buildsys.search.errors import SearchError
from buildsys.store import StoreError
from buildsys.terminal import escaped
from buildsys.toolchains import ToolchainError


def status(error: Exception) -> ExitStatus | None:
    """An error's exit status; `None` for one that is a bug of ours."""
    if isinstance(error, BundleError):
        return ExitStatus.REJECTED if error.judged else ExitStatus.FAILED
    if isinstance(error, RecordError):
        return ExitStatus.FAILED
    if isinstance(error, RecipeError):
        return ExitStatus.USAGE
    if isinstance(error, NoMatch):
        return ExitStatus.NO_MATCH
    if isinstance(error, ToolchainError | StoreError | CatalogError | SearchError):
        return ExitStatus.ENVIRONMENT
    return None


def show(error: Exception) -> ExitStatus | None:
    """Prints an error and gives its exit status; `None` for one that is a bug of ours."""
    if isinstance(error, RecipeError):
        count = len(error.diagnostics)
        say(error.render())
        say(f"\n{count} error{'s' if count > 1 else ''} in the recipe; nothing was built")
    elif isinstance(error, ToolchainError):
        say_error(f"toolchain {error.toolchain}: {error.message}", error.hint)
        if error.log is not None:
            say(f"log: {error.log}")
    elif isinstance(error, NoMatch | StoreError | BundleError | RecordError | SearchError):
        say_error(error.message, error.hint)
    elif isinstance(error, CatalogError):
        say_error(str(error), None)
    return status(error)


def say_error(message: str, hint: str | None) -> None:
    """An error in the usual shape."""
    say(f"error: {message}")
    if hint is not None:
        say(f"hint: {hint}")


def say(text: str) -> None:
    """A line on stderr."""
    click.echo(escaped(text), err=True)
