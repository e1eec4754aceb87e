"""`modelbuild build`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from buildsys.cli import options
from buildsys.cli.common import (
    console,
    open_session,
    output_options,
    recipe_option,
    selector_argument,
)
from buildsys.cli.options import KeepGoing, user_settings, writable
from buildsys.exit_status import ExitStatus
from buildsys.terminal import json_text

if TYPE_CHECKING:
    from buildsys.engine.events import Event
    from buildsys.engine.run import Settings
    from buildsys.store import StoreError

COUNTS = ("hit", "ran", "failed", "blocked")
TIMEOUT = 3600.0


@click.command("build", cls=KeepGoing)
@selector_argument
@recipe_option
@output_options
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    show_default="cores",
    help="How many actions may run at once.",
)
@click.option(
    "-k",
    "--keep-going",
    "failures",
    type=options.failures,
    default=1,
    metavar="[=N]",
    help="Keep running steps that don't depend on a failed one. With N, stop after N failures.",
)
@click.option(
    "--retry",
    type=click.IntRange(min=0),
    metavar="N",
    help="Retry a step up to N times when its environment failed (no network, a lost worker).",
)
@click.option(
    "--timeout",
    type=options.seconds,
    show_default=f"{TIMEOUT:.0f}",
    metavar="SECONDS",
    help="Stop an action that runs longer than this.",
)
@click.option(
    "--memory",
    type=options.memory,
    metavar="SIZE",
    show_default="what is free",
    help="Memory for all running steps together: `8GiB`. A step that exceeds it is stopped.",
)
@click.option(
    "--offline",
    is_flag=True,
    help="Don't use the network; install toolchains from local caches only.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Exit 3 if a deployable is unverified or its inputs are not fully known.",
)
@click.option(
    "--search",
    "again",
    is_flag=True,
    help="Search again, even where `deploy.lock.yaml` holds a choice.",
)
@click.option(
    "--locked", is_flag=True, help="Don't search: fail if `deploy.lock.yaml` lacks a choice."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for artifacts. Default: artifacts/ beside the recipe.",
)
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a timeline for Perfetto or chrome://tracing.",
)
@click.option(
    "--events",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the `--json` events to a file.",
)
def command(
    selectors: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    color: str,
    quiet: bool,
    verbose: bool,
    jobs: int | None,
    failures: int,
    retry: int | None,
    timeout: float | None,
    memory: int | None,
    offline: bool,
    strict: bool,
    again: bool,
    locked: bool,
    out: Path | None,
    trace: Path | None,
    events: Path | None,
) -> int:
    """Build, verify and place the selected deployables.

    SELECTOR is a target (`ios`), a label (`ios/classifier.onnx`) or a glob over labels
    (`'*/classifier.tflite*'`). Without one, everything.
    """
    from buildsys.cli.answer import keeping
    from buildsys.report.progress import Progress
    from buildsys.report.record import write_report
    from buildsys.report.screens.console import idle_text, print_build
    from buildsys.report.trace import TraceFile
    from buildsys.search.building import build as searched_build

    if again and locked:
        raise click.UsageError("`--search` and `--locked` exclude each other")
    started = time.monotonic()
    settings = chosen(jobs, failures, retry, timeout, memory)
    progress = Progress(console(color, stderr=True), quiet=quiet or as_json, verbose=verbose)
    with ExitStack() as stack:
        timeline = None
        if trace is not None:
            writable(trace, "--trace")
        lines = stack.enter_context(Lines(as_json, events))
        if trace is not None:
            timeline = stack.enter_context(TraceFile(trace))
        end = stack.enter_context(ending(lines))

        def tell(event: Event) -> None:
            lines.write(event.to_json())
            if timeline is not None:
                timeline(event)
            progress(event)

        limit = user_settings().max_size
        rest = None if again else keeping.partial()
        opened = open_session(file, selectors, offline=offline, max_size=limit, unchanged=rest)
        with opened as session, progress:
            build = searched_build(
                session,
                selectors,
                settings=settings,
                out=out.absolute() if out else None,
                strict=strict,
                listener=tell,
                again=again,
                locked=locked,
            )
            write_report(build)
        end.update(exit=build.exit, summary=build.summary())
    if not as_json and (not quiet or build.exit):
        print_build(console(color), build, time.monotonic() - started, verbose=verbose)
    if not (as_json or build.exit or verbose or trace or events):
        text = "" if quiet else idle_text(console(color), build)
        keeping.keep(session, build.graph, build.run, build.folder, text, build.unchanged)
    if build.run.environment_error is not None:
        raise build.run.environment_error
    return build.exit


def chosen(
    jobs: int | None,
    failures: int,
    retry: int | None,
    timeout: float | None,
    memory: int | None,
) -> Settings:
    """How to run: the command line, then the user's settings, then the defaults."""
    from buildsys.engine.preferences import preferred

    return preferred(
        user_settings(),
        jobs=jobs,
        max_failures=failures or None,
        timeout=timeout,
        retries=retry,
        memory=memory,
    )


class Lines:
    """The lines of `--json`: on standard output, in a file, or both.

    Events come from several threads; a line is never cut by another.

    Args:
        shown: Whether they go to standard output.
        path: The file of `--events`, or `None`; each line is written at once.
    """

    def __init__(self, shown: bool, path: Path | None) -> None:
        self._shown = shown
        self._path = path
        self._file: IO[bytes] | None = None
        self._guard = threading.Lock()

    def __enter__(self) -> Lines:
        if self._path is not None:
            writable(self._path, "--events")
            self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, record: dict[str, Any]) -> None:
        """Writes one line.

        Raises:
            StoreError: The file takes no more; what comes after is left out.
        """
        if not self._shown and self._file is None:
            return
        line = json_text(record)
        with self._guard:
            if self._shown:
                click.echo(line)
            if self._file is not None:
                try:
                    self._file.write(f"{line}\n".encode())
                except OSError as error:
                    self._file.close()
                    self._file = None
                    raise self._full(error) from error

    def _full(self, error: OSError) -> StoreError:
        from buildsys.store import StoreError

        return StoreError(
            f"cannot write {self._path}: {error.strerror}", "give `--events` another file"
        )


@contextmanager
def ending(lines: Lines) -> Iterator[dict[str, Any]]:
    """Tells the last event of `--json`, however the build ends."""
    from buildsys.cli import errors
    from buildsys.engine.events import Finished

    end: dict[str, Any] = {"exit": ExitStatus.BUG, "summary": dict.fromkeys(COUNTS, 0)}
    try:
        yield end
    except KeyboardInterrupt:
        end["exit"] = ExitStatus.INTERRUPTED
        raise
    except Exception as error:
        end["exit"] = errors.status(error) or ExitStatus.BUG
        raise
    finally:
        lines.write(Finished(**end).to_json())
