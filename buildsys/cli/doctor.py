"""`modelbuild doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from buildsys.cli.common import (
    RECIPE_NAME,
    console,
    open_file,
    output_options,
    print_json,
    recipe_option,
)
from buildsys.exit_status import ExitStatus
from buildsys.recipe import Recipe, RecipeError, find


@click.command("doctor")
@recipe_option
@output_options
def command(file: Path | None, as_json: bool, color: str, quiet: bool, verbose: bool) -> int:
    """Check what this machine can make and run, and how to fix the rest. Changes nothing.

    Checks the machine, the store, every file of each toolchain, and each format, without the network.
    The exit status is 5 if this machine cannot make something that the recipe asks for, or if a
    toolchain was altered.
    """
    from buildsys.engine import checkup
    from buildsys.engine.session import cache_root, toolchains_root
    from buildsys.planner.catalog import Catalog
    from buildsys.toolchains import Provisioner
    from buildsys.toolchains.health import State

    recipe = _recipe(file)
    catalog = Catalog.load()
    overrides = {}
    if recipe is not None:
        overrides = {n: recipe.folder / t.lock for n, t in recipe.spec.toolchains.items()}
    provisioner = Provisioner(toolchains_root(cache_root()), catalog.toolchains, overrides)
    machine = checkup.machine(cache_root())
    found = checkup.toolchains(provisioner)
    abilities = checkup.abilities(catalog, found)
    wanted = _wanted(recipe)
    if as_json:
        print_json(
            {
                "version": 1,
                "machine": _plain(asdict(machine)),
                "toolchains": [health.to_json() for health in found.values()],
                "formats": [{**asdict(a), "wanted": a.format in wanted} for a in abilities],
            }
        )
    elif not quiet:
        from buildsys.report.screens.checkup import print_checkup

        print_checkup(console(color), machine, found.values(), abilities, wanted)
    stopped = any(a.cannot_make is not None for a in abilities if a.format in wanted)
    altered = any(health.state is State.ALTERED for health in found.values())
    return ExitStatus.ENVIRONMENT if stopped or altered or machine.unwritable else ExitStatus.OK


def _recipe(file: Path | None) -> Recipe | None:
    """The recipe that is named or found; a machine can be looked at without one."""
    if file is None:
        try:
            file = find(Path.cwd(), RECIPE_NAME)
        except RecipeError:
            return None
    return open_file(file)


def _wanted(recipe: Recipe | None) -> frozenset[str]:
    if recipe is None:
        return frozenset()
    return frozenset(item.format for items in recipe.spec.targets.values() for item in items)


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {name: str(v) if isinstance(v, Path) else v for name, v in record.items()}
