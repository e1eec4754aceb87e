"""`modelbuild bundle`: create, verify, inspect."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import click

from buildsys.cli.common import (
    console,
    open_file,
    out_option,
    output_options,
    print_json,
    recipe_option,
)
from buildsys.cli.options import user_settings
from buildsys.terminal import escaped


def _identity(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """The digits of an identity as `bundle create` prints it."""
    if value is None:
        return None
    found = re.fullmatch("(?:sha256:)?([0-9a-f]{64})", value.strip().lower())
    if found is None:
        raise click.BadParameter(
            "write it as `bundle create` prints it: `sha256:` and 64 hexadecimal digits"
        )
    return found[1]


expect_option = click.option(
    "--expect",
    callback=_identity,
    metavar="IDENTITY",
    help="Accept only the bundle with this identity: `sha256:…`, as `bundle create` printed it.",
)


@click.group("bundle")
def command() -> None:
    """Create, check and inspect release bundles."""


@command.command("create")
@click.argument("target")
@recipe_option
@output_options
@click.option("--release", help="Version of the bundle. Default: the recipe's `release`.")
@click.option(
    "--allow-unverified",
    is_flag=True,
    help="Include deployables that could not be run on this machine.",
)
@click.option(
    "--self-test",
    is_flag=True,
    help="Include test inputs, the original's outputs, and a script that checks the artifacts elsewhere.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Folder to write the bundle to. Default: the current one.",
)
@out_option
def create_command(
    target: str,
    file: Path | None,
    as_json: bool,
    color: str,
    quiet: bool,
    verbose: bool,
    release: str | None,
    allow_unverified: bool,
    self_test: bool,
    folder: Path,
    out: Path | None,
) -> int:
    """Build TARGET and bundle what it ships."""
    from buildsys.engine.session import Session
    from buildsys.planner.selectors import NoMatch
    from buildsys.release.bundle import BundleError, create
    from buildsys.release.selftest.contents import contents
    from buildsys.report.progress import Progress
    from buildsys.report.record import write_report

    recipe = open_file(file)
    if target not in recipe.spec.targets:
        raise NoMatch(target, [f"{name}/" for name in recipe.spec.targets])
    version = release or recipe.spec.release
    if version is None:
        raise BundleError(
            "the bundle has no version", "give `--release`, or set `release:` in the recipe"
        )
    progress = Progress(console(color, stderr=True), quiet=quiet or as_json, verbose=verbose)
    with Session(recipe, max_size=user_settings().max_size) as session, progress:
        build = session.build([target], out=out.absolute() if out else None, listener=progress)
        write_report(build)
        if build.run.environment_error is not None:
            raise build.run.environment_error
        carried = partial(contents, session, build, target, listener=progress)
        bundle = create(
            build,
            target,
            folder,
            version,
            allow_unverified=allow_unverified,
            self_test=carried if self_test else None,
        )
        session.pin(bundle.path, build)
    if as_json:
        print_json({"path": str(bundle.path), "identity": f"sha256:{bundle.identity}"})
    else:
        click.echo(escaped(f"{bundle.path}  sha256:{bundle.identity}"))
    return 0


@command.command("verify")
@click.argument("archive", type=click.Path(path_type=Path))
@expect_option
@output_options
def verify_command(
    archive: Path, expect: str | None, as_json: bool, color: str, quiet: bool, verbose: bool
) -> None:
    """Check every byte of a bundle.

    A bundle's identity covers all of its content. `--expect` accepts only the identity that you were
    given.
    """
    from buildsys.release.bundle import read

    bundle = read(archive, expect)
    statuses = {a["label"]: a["status"] for a in bundle.manifest["artifacts"]}
    if as_json:
        print_json(
            {
                "identity": f"sha256:{bundle.identity}",
                "files": len(bundle.files),
                "artifacts": statuses,
            }
        )
        return
    for label, status in statuses.items():
        click.echo(escaped(f"{label}  {status}"))
    click.echo(f"{len(bundle.files)} files are what they were: sha256:{bundle.identity}")


@command.command("inspect")
@click.argument("archive", type=click.Path(path_type=Path))
@expect_option
def inspect_command(archive: Path, expect: str | None) -> None:
    """Check a bundle and print its manifest."""
    from buildsys.release.bundle import read

    print_json(read(archive, expect).manifest)
