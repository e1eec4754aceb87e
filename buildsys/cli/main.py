"""The command line as a whole: which commands there are, and what an error becomes."""

from __future__ import annotations

import importlib
import io
import os
import platform
import signal
import sys
import traceback
from typing import Any

import click

import buildsys
from buildsys.exit_status import ExitStatus
from buildsys.terminal import escaped

COMMANDS = {
    "build": "Build, verify and place the selected deployables.",
    "bundle": "Create, check and inspect release bundles.",
    "cache": "Show, shrink and check the store.",
    "doctor": "Check what this machine can make and run, and how to fix the rest.",
    "plan": "Show what is stale and why, without running anything.",
    "report": "Show the results of the last build, or compare them with an earlier one.",
    "schema": "Print the recipe's JSON Schema for editors.",
    "toolchain": "List, install, lock and check the converters' environments.",
    "verify": "Check artifacts again, and find where and why one goes wrong.",
    "why": "Explain why a deployable would be rebuilt.",
}


class Lazy(click.Group):
    """Imports a command's module when it is called, so that `--help` imports next to nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command's own object."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"buildsys.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of `--help`, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(buildsys.__version__, prog_name="modelbuild")
def group() -> None:
    """Turn trained models into verified, reproducible artifacts for ios, android, server, web and edge.

    Exit status: 0 done, 1 a step failed, 2 usage or a wrong recipe, 3 a gate failed, 4 nothing
    matches the selector, 5 environment, 6 `plan --check` and there is work, 70 a bug, 130 interrupted.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise click.UsageError(
            "the folder that you are in does not exist any more: go to another one"
        ) from error


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with the documented status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # As Ctrl-C: workers are killed first.
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Runs the command line; gives the exit status."""
    try:
        result: Any = group.main(args=arguments, prog_name="modelbuild", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return interrupted()
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(escaped(shown.getvalue()), err=True, nl=False)
        return error.exit_code
    except KeyboardInterrupt:
        return interrupted()
    except BrokenPipeError:
        return unread()
    except SystemExit:
        # click ends with 1 when the reader of a pipe went away, and leaves this behind.
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":
            return unread()
        raise
    except Exception as error:
        from buildsys.cli import errors  # Which imports all that can raise one.

        status = errors.show(error)
        if status is not None:
            return status
        click.echo(escaped(traceback.format_exc()), err=True)
        click.echo(
            f"\nerror: this is a bug of modelbuild {buildsys.__version__} "
            f"(Python {platform.python_version()}, {platform.platform()}).\n"
            "hint: please report it with the lines above.",
            err=True,
        )
        return ExitStatus.BUG


def unread() -> int:
    """The reader went away (`| head`); what is left to flush has nowhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return 0


def interrupted() -> int:
    """What Ctrl-C says."""
    click.echo("Interrupted. Finished steps are cached; run again to continue.", err=True)
    return ExitStatus.INTERRUPTED
