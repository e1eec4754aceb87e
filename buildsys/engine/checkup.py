"""What this machine can make and run, and what keeps it from the rest: `modelbuild doctor`."""

from __future__ import annotations

import configparser
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from buildsys.backends.base import Format, Rule
from buildsys.engine.memory import free_memory
from buildsys.planner.catalog import Catalog
from buildsys.toolchains import Provisioner
from buildsys.toolchains.environments import installers
from buildsys.toolchains.environments.verification import Digests
from buildsys.toolchains.health import Health
from buildsys.toolchains.inside import watch


@dataclass(frozen=True)
class Machine:
    """Where builds run.

    Attributes:
        python: The version of the interpreter that runs this program.
        system: Its operating system and processor.
        cores: How many builds may use.
        memory: Bytes that are free.
        store: The store's folder.
        disk: Bytes that are free there.
        unwritable: Why the store cannot be written.
        installer: `uv` or `pip`.
        no_installer: Why there is none.
        hint: What would mend that.
        unwatched: Why the kernel cannot tell what child processes and native code read; `None` where it
            can.
    """

    python: str
    system: str
    cores: int
    memory: int
    store: Path
    disk: int
    unwritable: str | None
    installer: str | None
    no_installer: str | None
    hint: str | None = None
    unwatched: str | None = None


@dataclass(frozen=True)
class Ability:
    """What this machine can do with a format.

    Attributes:
        format: Its name.
        cannot_make: Why it cannot be made here.
        cannot_run: Why it cannot be run here for verification.
        evaluated: Whether the project's own evaluator checks it all the same.
    """

    format: str
    cannot_make: str | None
    cannot_run: str | None
    evaluated: bool = False


def machine(store: Path, environ: Mapping[str, str] = os.environ) -> Machine:
    """Looks at this machine. Writes one file into the store's folder and removes it."""
    folder = next(p for p in (store, *store.parents) if p.exists())
    unwritable = None
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        unwritable = f"{folder} cannot be written: {error.strerror}"
    installer = no_installer = hint = None
    try:
        installer = installers.choose(environ).name
    except installers.NoInstaller as error:
        no_installer, hint = str(error), error.hint
    except configparser.Error as error:
        no_installer, hint = f"pip's settings cannot be read: {error}", "see `pip config debug`"
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        memory=free_memory(),
        store=store,
        disk=shutil.disk_usage(folder).free,
        unwritable=unwritable,
        installer=installer,
        no_installer=no_installer,
        hint=hint,
        unwatched=_unwatched(environ),
    )


def _unwatched(environ: Mapping[str, str]) -> str | None:
    """Why the kernel does not tell what a step's children and native code read; tried in a process."""
    if environ.get(watch.SWITCH) == watch.PYTHON:
        return f"`{watch.SWITCH}` says so"
    program = Path(watch.__file__).with_name("syscalls.py")
    tried = subprocess.run(
        [sys.executable, "-I", program], capture_output=True, text=True, check=False
    )
    return None if tried.returncode == 0 else tried.stdout.strip() or "it could not be tried"


def toolchains(provisioner: Provisioner, names: Iterable[str] | None = None) -> dict[str, Health]:
    """How each toolchain is, by name; starts the interpreter and reads the files of those that are there.

    Args:
        provisioner: What makes them.
        names: Those to look at; all by default.
    """
    digests = Digests()
    wanted = sorted(provisioner.toolchains if names is None else names)
    return {name: provisioner.check(name, digests) for name in wanted}


def abilities(catalog: Catalog, found: Mapping[str, Health]) -> list[Ability]:
    """What can be made and run of each format that a target may ask for."""
    made = _made(catalog, found)
    return [
        Ability(
            name,
            None if name in made else _hindrance(catalog, name, made, found),
            _cannot_run(catalog.formats[name], found),
            _evaluated(catalog.formats[name], found),
        )
        for name in catalog.deployable_formats()
    ]


def _made(catalog: Catalog, found: Mapping[str, Health]) -> set[str]:
    """The formats to which a way leads from some source, by rules that work here."""
    working = [rule for _, rule in catalog.rules if _wrong(rule, found) is None]
    made: set[str] = set()
    while True:
        more = {
            rule.gives
            for rule in working
            if any(taken.startswith("source:") or taken in made for taken in rule.takes)
        }
        if more <= made:
            return made
        made |= more


def _hindrance(
    catalog: Catalog, name: str, made: Iterable[str], found: Mapping[str, Health]
) -> str:
    """Why no way leads to a format: the first thing that is wrong on the way."""
    rules = [rule for _, rule in catalog.rules if rule.gives == name and rule.makes]
    for rule in rules:
        wrong = _wrong(rule, found)
        if wrong is not None:
            return wrong
    above = sorted({taken for rule in rules for taken in rule.takes if taken not in made})
    return f"it is made from {' or '.join(above)}, which cannot be made here"


def _wrong(rule: Rule, found: Mapping[str, Health]) -> str | None:
    """Why this machine cannot do a rule."""
    return rule.available() or _lacking(rule.toolchain, found)


def _cannot_run(declared: Format, found: Mapping[str, Health]) -> str | None:
    if declared.runtime is None:
        return declared.unverified
    return declared.runtime.available() or _lacking(declared.runtime.toolchain, found)


def _evaluated(declared: Format, found: Mapping[str, Health]) -> bool:
    evaluator = declared.evaluator
    return (
        evaluator is not None
        and _cannot_run(declared, found) is not None
        and not (evaluator.available() or _lacking(evaluator.toolchain, found))
    )


def _lacking(toolchain: str, found: Mapping[str, Health]) -> str | None:
    health = found.get(toolchain)  # `model` and `host` stand for environments that are the user's.
    return None if health is None or health.usable else f"toolchain `{toolchain}`: {health.reason}"
