"""`modelbuild why`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buildsys.cli.common import console, open_file, output_options, recipe_option
from buildsys.terminal import json_text

if TYPE_CHECKING:
    from buildsys.engine.staleness.explain import Explanation
    from buildsys.recipe import Position


@click.command("why")
@click.argument("labels", nargs=-1, required=True, metavar="LABEL...")
@recipe_option
@output_options
def command(
    labels: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    color: str,
    quiet: bool,
    verbose: bool,
) -> None:
    """Explain why a deployable would be rebuilt, without running anything.

    LABEL is a label (`ios/classifier.onnx`), a target (`ios`) or a glob over labels. For a deployable
    that is up to date, shows why its steps last ran. `--json` prints one object per line.
    """
    from buildsys.engine.session import Session
    from buildsys.engine.staleness.explain import explanations

    recipe = open_file(file)
    with Session(recipe) as session:
        graph = session.graph(labels)
        found = session.engine.mended(
            lambda: explanations(recipe, graph, session.engine.walk(graph, session.project())),
            lambda _: None,
        )
    if as_json:
        for explanation in found:
            click.echo(json_text(record(explanation, recipe.folder)))
        return
    if quiet:
        return
    from buildsys.report.screens.chain import print_explanation

    screen = console(color)
    for number, explanation in enumerate(found):
        if number:
            screen.print()
        print_explanation(screen, explanation)


def record(explanation: Explanation, folder: Path) -> dict[str, Any]:
    """The form of `why --json`."""
    return {
        "version": 1,
        "label": explanation.label,
        "state": explanation.state,
        "reason": explanation.blocked,
        "chain": [
            {
                "action": link.action,
                "rule": link.rule,
                "state": link.state.value,
                "because": list(link.because),
                "inputs": list(link.inputs),
                "text": link.text,
                "changes": [
                    {
                        **(reason.change.to_json() if reason.change else {}),
                        "text": reason.words,
                        "place": _place(reason.place, folder),
                    }
                    for reason in link.changes
                ],
            }
            for link in explanation.chain
        ],
    }


def _place(place: Position | None, folder: Path) -> dict[str, Any] | None:
    if place is None:
        return None
    inside = place.file.is_relative_to(folder)
    file = place.file.relative_to(folder).as_posix() if inside else str(place.file)
    return {"file": file, "line": place.line, "column": place.column}
