"""`modelbuild verify`: every bound of every selected deployable."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from buildsys.cli.common import console, print_json
from buildsys.recipe import Recipe

if TYPE_CHECKING:
    from buildsys.cli.verifying.answer import Answer


def run(recipe: Recipe, selectors: tuple[str, ...], answer: Answer, out: Path | None) -> int:
    """Brings the selected deployables up to date, as `build` does, and shows how they were judged.

    Returns:
        The exit status of a build.
    """
    from buildsys.cli.build import chosen
    from buildsys.cli.options import user_settings
    from buildsys.engine.session import Session
    from buildsys.report.progress import Progress
    from buildsys.report.record import report, write_report
    from buildsys.report.screens.judgment import print_judgement

    started = time.monotonic()
    quiet = answer.quiet or answer.as_json
    progress = Progress(console(answer.color, stderr=True), quiet=quiet, verbose=answer.verbose)
    with Session(recipe, max_size=user_settings().max_size) as session, progress:
        build = session.build(
            selectors,
            settings=chosen(None, 1, None, None, None),
            out=out.absolute() if out else None,
            listener=progress,
        )
        write_report(build)
    if answer.as_json:
        print_json(report(build))
    elif not answer.quiet or build.exit:
        print_judgement(answer.screen, build, time.monotonic() - started, verbose=answer.verbose)
    if build.run.environment_error is not None:
        raise build.run.environment_error
    return build.exit
