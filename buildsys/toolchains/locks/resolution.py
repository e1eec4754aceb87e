"""`modelbuild toolchain lock`: resolves a toolchain's requirements into its lock file."""

from __future__ import annotations

import configparser
import difflib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from buildsys.backends.toolchain import Toolchain
from buildsys.toolchains.environments import installers, node
from buildsys.toolchains.errors import ToolchainError, explain
from buildsys.toolchains.locks.lockfile import overrides, parse, render, tidy, without
from buildsys.toolchains.processes import LocalProcesses, Processes


def lock(
    toolchain: Toolchain,
    on_progress: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
    processes: Processes | None = None,
) -> str:
    """Resolves `toolchain.requirements` and writes `toolchain.lock`, if that changes it.

    Where the toolchain has packages of npm, their lock is written as well.

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
        processes = processes or LocalProcesses()
        resolved = _resolve(toolchain, requirements, before, environ, processes)
        header = (
            f"Resolved from {toolchain.requirements.name} by `modelbuild toolchain lock {name}`: "
            "edit that file, not this one."
        )
        after = render(tidy(resolved, toolchain.python[0]), header)
        changes = [(toolchain.lock, before, after)]
        if toolchain.node is not None:
            on_progress(f"{name}: resolving {node.PACKAGE}")
            changes.append(_node_lock(name, toolchain.node, after, environ, processes))
        for file, old, new in changes:
            if new != old:
                _replace(file, new)
    except OSError as error:
        raise ToolchainError(name, f"{error.filename}: {error.strerror}") from error
    except configparser.Error as error:
        raise ToolchainError(name, f"pip's settings cannot be read: {error}") from error
    return "".join(
        line
        for _, old, new in changes
        for line in difflib.unified_diff(
            old.splitlines(True), new.splitlines(True), "before", "after", n=0
        )
    )


def _node_lock(
    name: str, manifests: Path, pins: str, environ: Mapping[str, str], processes: Processes
) -> tuple[Path, str, str]:
    """The lock of npm's packages, its text before and after; `pins` says which npm resolves it."""
    lock = manifests / node.LOCK
    before = lock.read_text() if lock.exists() else ""
    with tempfile.TemporaryDirectory(prefix="modelbuild-lock-") as temporary:
        folder = Path(temporary)
        npm = _npm(name, folder / "site", pins, environ, processes)
        (folder / node.PACKAGE).write_text((manifests / node.PACKAGE).read_text())
        if before:
            (folder / node.LOCK).write_text(before)
        _run(name, npm.resolve(folder), folder, npm.environ, processes, node.explain)
        return lock, before, (folder / node.LOCK).read_text()


def _npm(
    name: str, site: Path, pins: str, environ: Mapping[str, str], processes: Processes
) -> node.Node:
    """The npm that a lock pins, installed into a folder."""
    try:
        wheel = render(pin for pin in parse(pins) if pin.name == node.WHEEL)
        if wheel:
            file = site.parent / "wheel.txt"
            file.write_text(wheel)
            installer = _uv(name, environ)
            command = (
                *(installer.program, "pip", "install", "--target", str(site), "--no-deps"),
                *("-r", str(file), *installer.options),
            )
            _run(name, command, site.parent, installer.environ, processes, explain)
        return node.find(site, environ)
    except node.NoNode as error:
        raise ToolchainError(name, str(error), error.hint) from error


def _uv(name: str, environ: Mapping[str, str]) -> installers.Installer:
    program = installers.find_uv(environ)
    if program is None:
        raise ToolchainError(
            name, "locks are resolved by uv, which is not there", "run `pip install uv`"
        )
    return installers.uv(program, environ)


def _run(
    name: str,
    command: tuple[str, ...],
    folder: Path,
    environ: Mapping[str, str],
    processes: Processes,
    explained: Callable[[str], tuple[str, str | None]],
) -> None:
    log = folder / "log"
    log.unlink(missing_ok=True)
    if processes.run(command, cwd=folder, environ=environ, log=log) != 0:
        message, hint = explained(log.read_text(errors="replace").partition("\n")[2])
        raise ToolchainError(name, message, hint)


def _resolve(
    toolchain: Toolchain,
    requirements: str,
    before: str,
    environ: Mapping[str, str],
    processes: Processes,
) -> str:
    installer = _uv(toolchain.name, environ)
    with tempfile.TemporaryDirectory(prefix="modelbuild-lock-") as temporary:
        folder = Path(temporary)
        (folder / "requirements.in").write_text(requirements)
        (folder / "without.txt").write_text("\n".join(without(requirements)) + "\n")
        (folder / "overrides.txt").write_text("\n".join(overrides(requirements)) + "\n")
        output = folder / "lock.txt"
        output.write_text(before)
        command = (
            *(installer.program, "pip", "compile", "requirements.in", "--output-file", output.name),
            *("--universal", "--python-version", toolchain.python[0], "--generate-hashes"),
            *("--excludes", "without.txt", "--override", "overrides.txt"),
            *("--no-header", "--no-annotate", "--quiet", *installer.options),
        )
        _run(toolchain.name, command, folder, installer.environ, processes, explain)
        return output.read_text()


def _replace(file: Path, text: str) -> None:
    temporary = file.with_name(f"{file.name}.new")
    temporary.write_text(text)
    temporary.replace(file)
