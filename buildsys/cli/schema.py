"""`modelbuild schema`."""

from __future__ import annotations

from typing import Any

import click

FORMS = ("recipe", "plan", "build", "report", "manifest")


@click.command("schema")
@click.argument("form", type=click.Choice(FORMS), default="recipe")
def command(form: str) -> None:
    r"""Print the JSON Schema of the recipe for editors, or of what other commands write.

    \b
    recipe    `deploy.yaml` (draft-07)
    plan      `plan --json` (draft 2020-12, as those below)
    build     a line of `build --json`
    report    `report.json`
    manifest  `manifest.json` of a bundle

    Save the recipe's and name it in the recipe's first line:
    `# yaml-language-server: $schema=deploy.schema.json`
    """
    from buildsys.cli.common import print_json

    print_json(schema_of(form))


def schema_of(form: str) -> dict[str, Any]:
    """The schema of a form."""
    if form == "recipe":
        from buildsys.recipe.schema.json_schema import schema

        return schema()
    from buildsys.engine import events
    from buildsys.figures.json_schema import document
    from buildsys.release.manifest import Manifest
    from buildsys.report.forms import PlanRecord, Report

    if form == "build":
        return document("A line of `modelbuild build --json`", *events.EVENTS)
    title, kind = {
        "plan": ("`modelbuild plan --json`", PlanRecord),
        "report": ("`report.json`", Report),
        "manifest": ("`manifest.json` of a bundle", Manifest),
    }[form]
    return document(title, kind)
