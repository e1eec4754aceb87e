"""Options whose values are sizes or counts, and the user's settings behind them."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import IO, Any

import click

from buildsys import settings
from buildsys.exit_status import ExitStatus
from buildsys.settings import LONGEST_SECONDS, UNLIMITED, SettingsError, UserSettings
from buildsys.terminal import escaped

NO_LIMIT = -1
"""What `limit` gives for `unlimited`: `None` is an option that was not given."""
BARE = re.compile(r"-([qv]*)k(\d*)")


def size(text: str | int) -> int:
    """The type of an option: bytes, as `20GiB`, `500MB` or a plain number."""
    try:
        return settings.parse_size(str(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def memory(text: str | int) -> int:
    """The type of an option: as `size`, and more than nothing."""
    found = size(text)
    if not found:
        raise click.BadParameter("nothing can run in no memory")
    return found


def limit(text: str | int) -> int:
    """The type of an option: bytes, or `NO_LIMIT` for `unlimited`."""
    return NO_LIMIT if str(text).lower() == UNLIMITED else size(text)


def seconds(text: str | float) -> float:
    """The type of an option: a time span, more than nothing and at most a year."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found <= LONGEST_SECONDS:
        raise click.BadParameter(f"`{text}` is not a time in seconds, up to a year")
    return found


def failures(text: str | int) -> int:
    """The type of an option: how many steps may fail, or 0 for `unlimited`."""
    if text == UNLIMITED:
        return 0
    if not str(text).isdecimal() or int(text) < 1:
        raise click.BadParameter(f"`{text}` is not a number from 1 on")
    return int(text)


class KeepGoing(click.Command):
    """A command whose `-k` takes a number only when it is written to it: `-k3`, `--keep-going=3`.

    So `build -k ios` goes on after failures, and builds `ios`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Writes a bare `-k` out before click sees it."""
        return super().parse_args(ctx, spelled_out(args))


def spelled_out(arguments: list[str]) -> list[str]:
    """Arguments with each `-k`, `-kN` and `--keep-going` as `--keep-going=N`."""
    found: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return found + arguments[number:]
        short = BARE.fullmatch(argument)
        if argument == "--keep-going":
            found.append(f"{argument}={UNLIMITED}")
        elif short is not None:
            found += [f"-{short[1]}"] if short[1] else []
            found.append(f"--keep-going={short[2] or UNLIMITED}")
        else:
            found.append(argument)
    return found


class WrongSettings(click.ClickException):
    """The user's settings cannot be used."""

    exit_code = ExitStatus.USAGE

    def __init__(self, error: SettingsError) -> None:
        super().__init__(str(error))

    def show(self, file: IO[Any] | None = None) -> None:
        """The faults as they are."""
        click.echo(escaped(self.message), file=file, err=True)


def user_settings() -> UserSettings:
    """The user's settings.

    Raises:
        WrongSettings: They cannot be used.
    """
    try:
        return settings.read()
    except SettingsError as error:
        raise WrongSettings(error) from error


def writable(path: Path, option: str) -> None:
    """Refuses a file that could not be written, before anything is done.

    Raises:
        click.BadParameter: With the reason.
    """
    folder = path.absolute().parent
    if path.is_dir():
        raise click.BadParameter(f"{path} is a folder", param_hint=option)
    if not folder.is_dir():
        raise click.BadParameter(f"there is no folder {folder}", param_hint=option)
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise click.BadParameter(f"{path} cannot be written", param_hint=option)
