"""`modelbuild schema`."""

from __future__ import annotations

import click


@click.command("schema")
def command() -> None:
    """Print the recipe's JSON Schema (draft-07) for editors.

    Save it and name it in the recipe's first line:
    `# yaml-language-server: $schema=deploy.schema.json`
    """
    from buildsys.cli.common import print_json
    from buildsys.recipe import schema

    print_json(schema())
