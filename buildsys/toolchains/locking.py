"""`modelbuild toolchain lock`: resolves a toolchain's requirements into its lock file."""

from __future__ import annotations

import configparser
import difflib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from buildsys.backends.base import Toolchain
from buildsys.toolchains import installers
from buildsys.toolchains.errors import ToolchainError, explain
from buildsys.toolchains.lockfile import overrides, render, tidy, without
from buildsys.toolchains.processes import LocalProcesses, Processes


def lock(
    toolchain: Toolchain,
    on_progress: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
    processes: Processes | None = None,
) -> str:
    """Resolves `toolchain.requirements` and writes `toolchain.lock`, if that changes it.

    The lock is for every platform, with hashes; versions that it pins already stay where they
    still fit, so that to edit one requirement moves no other.

    Returns:
        The change as a unified diff; empty where there is none.

    Raises:
        ToolchainError: The requirements cannot be read or resolved, or there is no uv.
    """
    name = toolchain.name
    try:
        requirements = toolchain.requirements.read_text()
        before = toolchain.lock.read_text() if toolchain.lock.exists() else ""
        on_progress(f"{name}: resolving {toolchain.requirements.name}")
        resolved = _resolve(toolchain, requirements, before, environ, processes or LocalProcesses())
        header = (
            f"Resolved from {toolchain.requirements.name} by `modelbuild toolchain lock {name}`: "
            "edit that file, not this one."
        )
        after = render(tidy(resolved, toolchain.python[0]), header)
        if after != before:
            _replace(toolchain.lock, after)
    except OSError as error:
        raise ToolchainError(name, f"{error.filename}: {error.strerror}") from error
    except configparser.Error as error:
        raise ToolchainError(name, f"pip's settings cannot be read: {error}") from error
    lines = difflib.unified_diff(
        before.splitlines(True), after.splitlines(True), "before", "after", n=0
    )
    return "".join(lines)


def _resolve(
    toolchain: Toolchain,
    requirements: str,
    before: str,
    environ: Mapping[str, str],
    processes: Processes,
) -> str:
    program = installers.find_uv(environ)
    if program is None:
        raise ToolchainError(
            toolchain.name, "locks are resolved by uv, which is not there", "run `pip install uv`"
        )
    installer = installers.uv(program, environ)
    with tempfile.TemporaryDirectory(prefix="modelbuild-lock-") as temporary:
        folder = Path(temporary)
        (folder / "requirements.in").write_text(requirements)
        (folder / "without.txt").write_text("\n".join(without(requirements)) + "\n")
        (folder / "overrides.txt").write_text("\n".join(overrides(requirements)) + "\n")
        output, log = folder / "lock.txt", folder / "log"
        output.write_text(before)
        command = (
            *(program, "pip", "compile", "requirements.in", "--output-file", output.name),
            *("--universal", "--python-version", toolchain.python[0], "--generate-hashes"),
            *("--excludes", "without.txt", "--override", "overrides.txt"),
            *("--no-header", "--no-annotate", "--quiet", *installer.options),
        )
        status = processes.run(command, cwd=folder, environ=installer.environ, log=log)
        if status != 0:
            message, hint = explain(log.read_text(errors="replace").partition("\n")[2])
            raise ToolchainError(toolchain.name, message, hint)
        return output.read_text()


def _replace(file: Path, text: str) -> None:
    temporary = file.with_name(f"{file.name}.new")
    temporary.write_text(text)
    temporary.replace(file)
