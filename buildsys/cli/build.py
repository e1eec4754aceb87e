"""`modelbuild build`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from buildsys.cli.common import (
    console,
    open_file,
    output_options,
    recipe_option,
    selector_argument,
)

COUNTS = ("hit", "ran", "failed", "blocked")


@click.command("build")
@selector_argument
@recipe_option
@output_options
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="cores",
    help="How many actions run at a time.",
)
@click.option("-k", "--keep-going", is_flag=True, help="Go on with what no failed step is above.")
@click.option("--strict", is_flag=True, help="Exit 3 when a deployable is unverified.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="Kill an action after this time.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where artifacts go; default: artifacts/ beside the recipe.",
)
def command(
    selectors: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    color: str,
    quiet: bool,
    verbose: bool,
    jobs: int,
    keep_going: bool,
    strict: bool,
    timeout: float,
    out: Path | None,
) -> int:
    """Build, verify and place the selected deployables.

    SELECTOR is a target (`ios`), a label (`ios/classifier.onnx`) or a glob over labels
    (`'*/classifier.tflite*'`). Without one, everything.
    """
    from buildsys.engine.build import Settings
    from buildsys.engine.events import Event
    from buildsys.engine.session import Session
    from buildsys.report.console import print_build
    from buildsys.report.progress import Progress
    from buildsys.report.record import write_report

    started = time.monotonic()
    settings = Settings(jobs=jobs, keep_going=keep_going, timeout=timeout)
    progress = Progress(console(color, stderr=True), quiet=quiet or as_json, verbose=verbose)

    def tell(event: Event) -> None:
        if as_json:
            click.echo(json.dumps(event.to_json(), ensure_ascii=False))
        progress(event)

    with ending(as_json) as end:
        recipe = open_file(file)
        with Session(recipe) as session, progress:
            build = session.build(
                selectors,
                settings=settings,
                out=out.absolute() if out else None,
                strict=strict,
                listener=tell,
            )
            write_report(build)
        end.update(exit=build.exit, summary=build.summary())
    if not as_json and (not quiet or build.exit):
        print_build(console(color), build, time.monotonic() - started, verbose=verbose)
    if build.run.environment_error is not None:
        raise build.run.environment_error
    return build.exit


@contextmanager
def ending(as_json: bool) -> Iterator[dict[str, Any]]:
    """Tells the last event of `--json`, however the build ends."""
    from buildsys.cli import errors

    end: dict[str, Any] = {"exit": errors.BUG, "summary": dict.fromkeys(COUNTS, 0)}
    try:
        yield end
    except KeyboardInterrupt:
        end["exit"] = errors.INTERRUPTED
        raise
    except Exception as error:
        end["exit"] = errors.status(error) or errors.BUG
        raise
    finally:
        if as_json:
            click.echo(json.dumps({"event": "finished", **end}))
