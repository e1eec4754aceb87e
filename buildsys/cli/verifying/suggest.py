"""`modelbuild verify --suggest`: bounds that fit what is measured on more samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buildsys.cli import errors
from buildsys.cli.common import console, print_json
from buildsys.exit_status import ExitStatus
from buildsys.recipe import Recipe

if TYPE_CHECKING:
    from buildsys.cli.verifying.answer import Answer


def run(recipe: Recipe, selectors: tuple[str, ...], answer: Answer) -> int:
    """Measures, and prints the bounds that it proposes.

    Returns:
        0; 1 where a step failed; 5 where nothing can be measured on this machine.
    """
    from buildsys.cli.build import chosen
    from buildsys.cli.options import user_settings
    from buildsys.diagnosis.suggestion import suggest
    from buildsys.engine.session import Session
    from buildsys.report.progress import Progress
    from buildsys.report.screens.suggestion import print_suggestion

    quiet = answer.quiet or answer.as_json
    progress = Progress(console(answer.color, stderr=True), quiet=quiet, verbose=answer.verbose)
    with Session(recipe, max_size=user_settings().max_size) as session, progress:
        found = suggest(
            session, selectors, settings=chosen(None, 1, None, None, None), listener=progress
        )
    if found.run.environment_error is not None:
        raise found.run.environment_error
    if answer.as_json:
        print_json(found.to_json())
    else:
        print_suggestion(answer.screen, found.to_json(), recipe.path.name)
    for name, failure in found.run.failures.items():
        errors.say_error(f"{found.graph.actions[name].rule}: {failure.message}", failure.hint)
        if failure.log is not None:
            errors.say(f"log: {failure.log}")
    if found.run.failures:
        return ExitStatus.FAILED
    return 0 if any(each.proposals for each in found.suggested) else ExitStatus.ENVIRONMENT
