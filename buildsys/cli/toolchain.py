"""`modelbuild toolchain`: list, install, verify, lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buildsys.cli.common import console, open_file, output_options, print_json, recipe_option
from buildsys.exit_status import ExitStatus
from buildsys.recipe import RecipeError, find
from buildsys.terminal import escaped

if TYPE_CHECKING:
    from buildsys.toolchains import Provisioner


@click.group("toolchain")
def command() -> None:
    """List, install, lock and check the converters' environments."""


def provisioner(file: Path | None) -> Provisioner:
    """The provisioner for a recipe's overrides, or for none where there is no recipe."""
    from buildsys.engine.session import cache_root, toolchains_root
    from buildsys.planner.catalog import Catalog
    from buildsys.toolchains import Provisioner

    overrides: dict[str, Path] = {}
    try:
        path = file if file is not None else find(Path.cwd())
    except RecipeError:
        path = None
    if path is not None:
        recipe = open_file(path)
        overrides = {n: recipe.folder / t.lock for n, t in recipe.spec.toolchains.items()}
    return Provisioner(toolchains_root(cache_root()), Catalog.load().toolchains, overrides)


@command.command("list")
@recipe_option
@output_options
def list_command(file: Path | None, as_json: bool, color: str, quiet: bool, verbose: bool) -> None:
    """List toolchains: purpose, state and place."""
    from rich.table import Table

    source = provisioner(file)
    rows: list[dict[str, Any]] = []
    for name, declared in sorted(source.toolchains.items()):
        look = source.look(name)
        found = look.fingerprint
        rows.append(
            {
                "name": name,
                "about": declared.about,
                "python": list(declared.python),
                "lock": f"sha256:{source.lock_digest(name)}",
                "installed": found is not None,
                "fingerprint": found.digest if found else None,
                "folder": str(source.folder(name)),
                "packages": list(found.installed) if found else None,
                "altered": list(look.altered),
            }
        )
    if as_json:
        print_json({"version": 1, "toolchains": rows})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("toolchain", "installed", "packages", "about"):
        table.add_column(heading)
    for row in rows:
        count = str(len(row["packages"])) if row["packages"] else "–"
        installed = "altered" if row["altered"] else "yes" if row["installed"] else "no"
        table.add_row(row["name"], installed, count, row["about"])
    screen = console(color)
    screen.print(table)
    for row in rows:
        if row["altered"]:
            said = "; ".join(row["altered"])
            screen.print(f"{row['name']} is not what was installed: {said}", soft_wrap=True)
            screen.print("hint: the next build that needs it reinstalls it", soft_wrap=True)
    if verbose:
        for row in rows:
            screen.print(f"{row['name']}  {row['folder']}", soft_wrap=True)


@command.command("install")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--force", is_flag=True, help="Reinstall toolchains that are already installed.")
@recipe_option
@output_options
def install_command(
    names: tuple[str, ...],
    force: bool,
    file: Path | None,
    as_json: bool,
    color: str,
    quiet: bool,
    verbose: bool,
) -> int:
    """Install toolchains ahead of a build.

    Without a NAME, installs all of them. One that fails does not stop the others; the exit status is 5
    then.
    """
    from buildsys.cli import errors
    from buildsys.toolchains import ToolchainError

    source = provisioner(file)
    screen = console(color, stderr=True)
    wanted = names or tuple(sorted(source.toolchains))
    known(wanted, source)
    failed: dict[str, ToolchainError] = {}
    for name in wanted:

        def progress(line: str, name: str = name) -> None:
            if not quiet:
                screen.print(f"{name}: {line}", soft_wrap=True)

        try:
            fingerprint = source.ensure(name, progress, force=force)
        except ToolchainError as error:
            failed[name] = error
            progress("failed")
            if as_json:
                print_json({"name": name, "error": str(error), "hint": error.hint})
            continue
        if as_json:
            print_json({"name": name, "fingerprint": fingerprint.digest})
        else:
            progress(f"ready, {len(fingerprint.installed)} packages")
    for each in failed.values():
        errors.show(each)
    if failed and len(wanted) > 1:
        errors.say(f"{len(failed)} of {len(wanted)} toolchains failed: {', '.join(failed)}")
    return ExitStatus.ENVIRONMENT if failed else ExitStatus.OK


@command.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@recipe_option
@output_options
def verify_command(
    names: tuple[str, ...], file: Path | None, as_json: bool, color: str, quiet: bool, verbose: bool
) -> int:
    """Check every file of installed toolchains.

    Without a NAME, checks all of them. Changes nothing. The exit status is 5 if a toolchain was altered
    or does not start.
    """
    from buildsys.engine import checkup
    from buildsys.report.screens.checkup import print_damage
    from buildsys.toolchains.health import State

    source = provisioner(file)
    known(names, source)
    found = checkup.toolchains(source, names or None)
    if as_json:
        print_json({"version": 1, "toolchains": [health.to_json() for health in found.values()]})
    else:
        print_damage(console(color), found.values(), quiet=quiet, verbose=verbose)
    wrong = {State.ALTERED, State.BROKEN} | ({State.IMPOSSIBLE} if names else set())
    bad = any(health.state in wrong for health in found.values())
    return ExitStatus.ENVIRONMENT if bad else ExitStatus.OK


@command.command("lock")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@recipe_option
@output_options
def lock_command(
    names: tuple[str, ...], file: Path | None, as_json: bool, color: str, quiet: bool, verbose: bool
) -> None:
    """Resolve requirements again and write the lock."""
    from buildsys.toolchains.locks.resolution import lock

    source = provisioner(file)
    known(names, source)
    screen = console(color, stderr=True)
    for name in names:
        difference = lock(source.toolchains[name], lambda line: screen.print(line, soft_wrap=True))
        if as_json:
            print_json({"name": name, "difference": difference})
        else:
            click.echo(escaped(difference) or f"{name}: unchanged")


def known(names: tuple[str, ...], source: Provisioner) -> None:
    """Refuses names that no backend declares."""
    from buildsys.planner.validation import nearest

    for name in names:
        if name not in source.toolchains:
            raise click.UsageError(
                f"unknown toolchain `{name}`: {nearest(name, source.toolchains)}"
            )
