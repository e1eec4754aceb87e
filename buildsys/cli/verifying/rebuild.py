"""`modelbuild verify --rebuild`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildsys.cli.common import console, print_json

if TYPE_CHECKING:
    from buildsys.cli.verifying.answer import Answer
    from buildsys.recipe import Recipe


def run(recipe: Recipe, selectors: tuple[str, ...], answer: Answer) -> int:
    """Makes each step of the selected deployables again, and says what held.

    Returns:
        The exit status: 1 where a step failed, 3 where one gives other bytes that claims to give the
        same.
    """
    from buildsys.cli.build import chosen
    from buildsys.cli.options import user_settings
    from buildsys.diagnosis.rebuilding import rebuild
    from buildsys.engine.session import Session
    from buildsys.report.progress import Progress
    from buildsys.report.screens.rebuilt import print_rebuilt

    quiet = answer.quiet or answer.as_json
    progress = Progress(console(answer.color, stderr=True), quiet=quiet, verbose=answer.verbose)
    # One failure does not keep the other steps from being made again.
    settings = chosen(None, 0, None, None, None)
    with Session(recipe, max_size=user_settings().max_size) as session, progress:
        found = rebuild(session, selectors, settings=settings, listener=progress)
    if answer.as_json:
        print_json(found.to_json())
    elif not answer.quiet or found.exit:
        print_rebuilt(answer.screen, found.to_json(), verbose=answer.verbose)
    return found.exit
