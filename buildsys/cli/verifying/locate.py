"""`modelbuild verify --locate LABEL`: the first operation that differs, and what would cure it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildsys.cli import errors
from buildsys.cli.common import console, print_json
from buildsys.exit_status import ExitStatus
from buildsys.recipe import Recipe

if TYPE_CHECKING:
    from buildsys.cli.verifying.answer import Answer
    from buildsys.diagnosis.locating import Located
    from buildsys.figures.location import JudgedLocation

FOLDER = ".diagnosis"
USAGE = 2


def run(recipe: Recipe, label: str, fix: bool, answer: Answer, out: Path | None) -> int:
    """Locates, shows, and with `fix` cures.

    Returns:
        0 where nothing differs, 3 where something does; with `fix`, 0 where it is cured. 1 where a
        step failed, 2 where the format cannot be looked into, 5 for environments.
    """
    from buildsys.cli.options import user_settings
    from buildsys.diagnosis.locating import locate
    from buildsys.engine.session import Session
    from buildsys.figures.json_form import to_json
    from buildsys.planner.verification.locating import NoProbe
    from buildsys.report.pages.location import page
    from buildsys.report.progress import Progress
    from buildsys.report.screens.location import print_location

    limit = user_settings().max_size
    progress = Progress(
        console(answer.color, stderr=True),
        quiet=answer.quiet or answer.as_json,
        verbose=answer.verbose,
    )
    try:
        with Session(recipe, max_size=limit) as session, progress:
            located = locate(session, label, settings=_settings(), listener=progress)
            folder = session.project(out).artifacts
    except NoProbe as error:
        errors.say_error(f"`{label}`: {error.message}", error.hint)
        return USAGE
    except ValueError as error:
        errors.say_error(str(error), "name one deployable by its label")
        return USAGE
    if located.run.environment_error is not None:
        raise located.run.environment_error
    if located.location is None:
        return _failed(located)
    location = located.location
    path = folder / FOLDER / f"{label}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(location), encoding="utf-8")
    record: dict[str, Any] = {**to_json(location), "page": str(path)}
    if not (answer.as_json or answer.quiet):
        print_location(answer.screen, location, _shown(path), verbose=answer.verbose)
    status = ExitStatus.REJECTED if location.found else 0
    if fix and location.found:
        status, record["fix"] = _fixed(recipe, label, location, answer, out)
    elif fix and not answer.as_json:
        answer.screen.print("nothing to fix")
    if answer.as_json:
        print_json(record)
    return status


def _fixed(
    recipe: Recipe, label: str, location: JudgedLocation, answer: Answer, out: Path | None
) -> tuple[int, dict[str, Any]]:
    """Has the cure written into the recipe and proven, and tells of it."""
    from buildsys.diagnosis import fixing
    from buildsys.engine.session import Session
    from buildsys.report.record import write_report

    def show(text: str) -> None:
        if not (answer.as_json or answer.quiet):
            answer.screen.print(text, markup=False, soft_wrap=True)

    show("")
    absolute = out.absolute() if out else None
    fixed, build = fixing.apply(
        recipe, label, location, Session, out=absolute, settings=_settings(), show=show
    )
    if build is not None:
        write_report(build)
    if fixed.cured:
        show(f"cured: {label} ships with it; the recipe is written")
    elif not answer.as_json:
        # A way out that the answer has shown is not shown again.
        told = None if answer.quiet else location.way_out
        hint = None if told and fixed.hint and fixed.hint.startswith(told) else fixed.hint
        errors.say_error(fixed.reason or "nothing cures it", hint)
    return (0 if fixed.cured else ExitStatus.REJECTED), fixed.to_json(recipe.folder)


def _settings() -> Any:
    """How to run: the user's settings, then the defaults."""
    from buildsys.cli.build import chosen

    return chosen(None, 1, None, None, None)


def _failed(located: Located) -> int:
    """Says which step failed; nothing can be located without it."""
    for name, failure in located.run.failures.items():
        rule = located.graph.actions[name].rule
        errors.say_error(f"{rule}: {failure.message}", failure.hint)
        if failure.log is not None:
            errors.say(f"log: {failure.log}")
        return ExitStatus.FAILED
    reason = next(iter(located.run.skipped.values()), "nothing was run")
    errors.say_error(f"it cannot be looked into here: {reason}", None)
    return ExitStatus.ENVIRONMENT


def _shown(path: Path) -> str:
    """A path as short as it is clear."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
