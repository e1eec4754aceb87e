"""Imports the user's modules from their sources, wherever they lie, and writes no byte code beside them.

A `.pyc` is valid by its source's size and time, which is a weaker promise than content: a key that
holds the digest of a source must stand for that source. Only what is installed in the environment may
use byte code, since the environment's fingerprint speaks for it.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterable
from importlib import machinery
from typing import Any

PACKAGES = ("site-packages", "dist-packages")
"""Names of folders that installers fill."""


class Installed:
    """The folders whose modules may come from byte code.

    Args:
        folders: The interpreter's own library and the folders of installed packages.
    """

    def __init__(self, folders: Iterable[str | os.PathLike[str]]) -> None:
        given = [os.path.abspath(folder) for folder in folders]
        self._named = tuple({folder + os.sep for folder in given})
        self._real = tuple({os.path.realpath(folder) + os.sep for folder in given})
        self._known: dict[str, bool] = {}

    def holds(self, path: str) -> bool:
        """Whether a file is installed; a link that leads out of these folders is not."""
        path = os.path.abspath(path)
        if not path.startswith((*self._named, *self._real)) or os.path.islink(path):
            return False
        folder = os.path.dirname(path)
        if folder not in self._known:
            self._known[folder] = (os.path.realpath(folder) + os.sep).startswith(self._real)
        return self._known[folder]


def install(folders: Iterable[str | os.PathLike[str]]) -> None:
    """Makes every later import follow the rule, by whatever finder: path, editable install, by hand.

    Args:
        folders: As of `Installed`.
    """
    installed = Installed(folders)
    # All loaders of sources inherit this method of importlib's, which has no public name.
    base: Any = next(c for c in machinery.SourceFileLoader.__mro__ if "get_code" in c.__dict__)
    original: Callable[[Any, str], types.CodeType | None] = base.get_code

    def get_code(self: Any, fullname: str) -> types.CodeType | None:
        path = self.get_filename(fullname)
        if installed.holds(path):
            return original(self, fullname)
        code: types.CodeType = self.source_to_code(self.get_data(path), path)
        return code

    base.get_code = get_code


def trusted(folders: Iterable[str | os.PathLike[str]], program: str) -> list[str]:
    """The folders of `install`, with this program's own where it is installed like a package.

    Args:
        folders: The environment's.
        program: The folder of package `buildsys`. From a checkout, where it is edited, its workers
            are imported from sources like a user's modules.
    """
    found = [os.fspath(folder) for folder in folders]
    return [*found, program] if os.path.basename(os.path.dirname(program)) in PACKAGES else found


def for_children(environ: dict[str, str] | os._Environ[str], scratch: str) -> None:
    """Keeps the interpreters that a step starts from byte code beside the user's files.

    They read and write theirs below the step's own folder, so none is older than the step. Numba's
    caches are byte code too, valid by a source's size and time.
    """
    environ["PYTHONPYCACHEPREFIX"] = os.path.join(scratch, "bytecode")
    environ["NUMBA_CACHE_DIR"] = os.path.join(scratch, "numba")


def installed_path(path: Iterable[str], folders: Iterable[str]) -> list[str]:
    """The entries of `sys.path` that installers fill; others (editable installs) hold a user's files.

    Args:
        path: `sys.path` as the process began with it.
        folders: The interpreter's library and its folders of packages.
    """
    real = tuple(os.path.realpath(folder) + os.sep for folder in folders)
    archive = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    return [
        entry
        for entry in path
        if entry
        and (
            (os.path.realpath(entry) + os.sep).startswith(real)
            or os.path.basename(entry) == archive
            or os.path.basename(os.path.normpath(entry)) in PACKAGES
        )
    ]
