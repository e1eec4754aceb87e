"""A Python of the minor version that a lock is for."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildsys.toolchains.environments.fingerprint import Interpreter
from buildsys.toolchains.environments.installers import clean, find_uv
from buildsys.toolchains.processes import Processes

PROBE = (
    "import json, platform, sys; print(json.dumps([sys.executable, platform.python_version(), "
    "platform.python_implementation(), platform.system(), platform.machine()]))"
)


@dataclass(frozen=True)
class Found:
    """An interpreter that runs.

    Attributes:
        program: Its executable.
        interpreter: What it is.
    """

    program: Path
    interpreter: Interpreter


def minor_for(minors: Sequence[str], environ: Mapping[str, str]) -> str:
    """The minor version to use, of those that a lock is valid for. Starts no process.

    This program's own where it serves, since it is known to run; else the best that is on the path.
    """
    own = _own()
    if own is not None and own.minor in minors:
        return own.minor
    path = environ.get("PATH")
    return next((m for m in minors if shutil.which(f"python{m}", path=path)), minors[0])


def find(minor: str, environ: Mapping[str, str], processes: Processes) -> Found | None:
    """An interpreter of a minor version: this program's, one on the path, one that uv knows.

    A name on the path proves nothing (a version manager's shim may lead nowhere), so it is run.
    """
    own = _own()
    if own is not None and own.minor == minor:
        return Found(Path(sys.executable), own)
    on_path = shutil.which(f"python{minor}", path=environ.get("PATH"))
    if on_path is not None:
        found = probe(on_path, minor, environ, processes)
        if found is not None:
            return found
    program = find_uv(environ)
    if program is None:
        return None
    command = (program, "python", "find", "--no-project", minor)
    said = processes.ask(command, environ=clean(environ))
    return probe(said.strip(), minor, environ, processes) if said and said.strip() else None


def _own() -> Interpreter | None:
    own = Interpreter.host()
    return own if sys.executable and own.implementation == "CPython" else None


def probe(
    program: str, minor: str, environ: Mapping[str, str], processes: Processes
) -> Found | None:
    """The interpreter behind a program's name, if it runs and is of a minor version."""
    said = processes.ask((program, "-I", "-c", PROBE), environ=clean(environ))
    if said is None:
        return None
    try:
        executable, version, implementation, system, machine = json.loads(said)
    except ValueError:  # A shim that ends well and says something else.
        return None
    interpreter = Interpreter(version, implementation, system, machine)
    if interpreter.minor != minor or interpreter.implementation != "CPython":
        return None
    return Found(Path(executable), interpreter)
