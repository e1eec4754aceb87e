"""uv, or pip where there is no uv: the two ways to put packages into an environment."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from buildsys.toolchains.environments.pip_settings import PipSettings

CHOICE = "MODELBUILD_INSTALLER"

# What steers an installer away from the environment that it should fill, or lets the caller's
# own packages in.
MISLEADING = frozenset(
    {
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_TARGET",
        "PYTHONHOME",
        "PYTHONPATH",
        "UV_PROJECT",
        "UV_PYTHON",
        "UV_SYSTEM_PYTHON",
        "UV_WORKING_DIR",
        "VIRTUAL_ENV",
    }
)


class NoInstaller(Exception):
    """No installer is there, or not the one that was asked for.

    Attributes:
        hint: The way out.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Installer:
    """A program that installs packages. Both take the same options from `install` on.

    Attributes:
        name: `uv` or `pip`.
        environ: All environment variables that it runs with.
        program: uv itself, or a Python that has pip.
        options: Added to every install.
        offline: Whether it may use only what it has kept: its cache, and folders of packages.
    """

    name: str
    environ: Mapping[str, str]
    program: str
    options: tuple[str, ...] = ()
    offline: bool = False

    def command(self, python: Path, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """The command that installs into the environment of an interpreter."""
        # Isolated from the folder it stands in: a `pip.py` there is not pip.
        start = ("pip", "install") if self.name == "uv" else ("-I", "-m", "pip")
        end = () if self.name == "uv" else ("install",)
        return (self.program, *start, "--python", str(python), *end, *self.options, *arguments)


def choose(environ: Mapping[str, str], *, offline: bool = False) -> Installer:
    """Prefers uv, else pip; `MODELBUILD_INSTALLER` decides otherwise.

    Args:
        environ: The environment variables.
        offline: Whether it must not use the network.

    Raises:
        NoInstaller: There is none.
        configparser.Error: pip's settings cannot be read.
    """
    wanted = environ.get(CHOICE, "")
    if wanted not in ("", "uv", "pip"):
        raise NoInstaller(f"{CHOICE} is `{wanted}`", "set it to `uv` or to `pip`")
    found = None if wanted == "pip" else find_uv(environ)
    if found is not None:
        return uv(found, environ, offline=offline)
    if wanted == "uv":
        raise NoInstaller("uv is not there", "run `pip install uv`")
    if importlib.util.find_spec("pip") is None:
        raise NoInstaller("neither uv nor pip is there", "install uv, or run `modelbuild doctor`")
    return pip(environ, offline=offline)


def uv(program: str, environ: Mapping[str, str], *, offline: bool = False) -> Installer:
    """uv, with what the user told pip."""
    settings = PipSettings.read(environ)
    options = (
        *(("--no-index",) if settings.no_index else ()),
        *(("--offline",) if offline else ()),
    )
    own = {**clean(environ), **settings.for_uv(environ)}
    return Installer("uv", own, program, options, offline)


def pip(environ: Mapping[str, str], *, offline: bool = False) -> Installer:
    """The pip beside this program; it reads its settings itself.

    Without an index it takes what its `find-links` folders hold: its cache is of no use without one.
    """
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    index = ("--no-index",) if offline else ()
    options = ("--progress-bar", "off", "--no-warn-script-location", *index)
    return Installer("pip", {**clean(environ), **quiet}, sys.executable, options, offline)


def find_uv(environ: Mapping[str, str]) -> str | None:
    """The uv that was installed with this program, else one on the path."""
    if importlib.util.find_spec("uv") is not None:
        from uv import find_uv_bin

        try:
            return str(find_uv_bin())
        except FileNotFoundError:
            pass  # The module without its program: one on the path may serve.
    return shutil.which("uv", path=environ.get("PATH"))


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's variables, without those that mislead an installer or an interpreter."""
    return {name: value for name, value in environ.items() if name not in MISLEADING}
