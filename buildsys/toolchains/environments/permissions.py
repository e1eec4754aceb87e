"""Takes write permission from an environment, so that no installer changes it by mistake.

Only a courtesy: the superuser writes all the same, so the contents are checked besides.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
BYTE_CODE = "__pycache__"


def seal(folder: Path) -> None:
    """Makes what is below an environment's folder read-only.

    The folder itself stays writable, for its marker. So do folders of byte code, which are made here
    where they are missing: Python fills them at the first import, and without them each process would
    compile what it imports. uv links files to its own cache: a file that has other names keeps its
    mode, since those names may be in the user's environments.
    """
    for root, folders, files in os.walk(folder, topdown=False):
        here = Path(root)
        if here.name == BYTE_CODE or here == folder:
            continue
        for name in files:
            _close(here / name)
        if BYTE_CODE not in folders and any(name.endswith(".py") for name in files):
            (here / BYTE_CODE).mkdir(exist_ok=True)
        here.chmod(stat.S_IMODE(here.stat().st_mode) & ~WRITE)


def _close(file: Path) -> None:
    found = file.lstat()
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        file.chmod(stat.S_IMODE(found.st_mode) & ~WRITE)


def remove(folder: Path) -> None:
    """Removes a folder, read-only or not.

    Raises:
        OSError: It cannot be removed.
    """
    # From the top: a folder must be open before its own folders can be changed.
    for root, _, _ in os.walk(folder):
        here = Path(root)
        here.chmod(stat.S_IMODE(here.stat().st_mode) | stat.S_IRWXU)
    shutil.rmtree(folder)
