"""Short folders for the temporary files of steps.

A socket's name is limited to 107 bytes (103 on macOS), and Python's `multiprocessing` adds 32 to
`TMPDIR`: below a store in somebody's home that is too much, and `DataLoader` hangs. So `TMPDIR` of a
step is not in its own folder but in one below the system's, which all steps of a build share:
`/tmp/mb-k3x9w2ab/7`.

The build holds a kernel lock on that folder. A build that is killed loses it, and the next one removes
the folder. (`systemd-tmpfiles` leaves a locked folder alone, however old it is.)
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

PREFIX = "mb-"
NAMED = re.compile(r"mb-[a-z0-9_]{8}")
MARKER = ".modelbuild"
"""The file that says that a folder of such a name is ours."""
SOCKET = 103
"""Bytes of the longest name that a socket may have, on every system."""
LONGEST = SOCKET - len("/mb-12345678/12345") - len("/pymp-12345678/listener-12345678")
"""Bytes of the longest name of the folder above: ours, and what `multiprocessing` makes in it, must fit."""
ROOM = 64 << 20
"""Bytes that must be free there."""
PRIVATE = 0o700


def candidates() -> list[Path]:
    """Where such folders may be made, the best first."""
    named = os.environ.get("TMPDIR")
    places = [named] if named else []
    return [Path(each) for each in dict.fromkeys([*places, "/tmp", "/var/tmp", "/dev/shm"])]  # noqa: S108


def unfit(place: Path) -> str | None:
    """Says why steps cannot have their temporary files in a folder; `None` where they can."""
    if not place.is_absolute():
        return "it is not an absolute path"
    if len(os.fsencode(place)) > LONGEST:
        return "its name is too long for the sockets that are made in it"
    try:
        system = os.statvfs(place)
    except OSError as error:
        return (error.strerror or "it cannot be used").lower()
    if not os.access(place, os.W_OK | os.X_OK):
        return "it cannot be written"
    if system.f_flag & getattr(os, "ST_NOEXEC", 0):
        return "it is mounted `noexec`"
    if system.f_bavail * system.f_frsize < ROOM or (system.f_files and not system.f_favail):
        return "its disk is full"
    return None


class TemporaryFolders:
    """Makes a short folder for each step of a build, and removes it. Safe for several threads.

    Args:
        places: Where to look for one that can be used, the best first; default: `candidates`.
        warn: Called with a message if the first place cannot be used.
    """

    def __init__(
        self,
        places: Iterable[Path] | None = None,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._places = None if places is None else list(places)
        self._warn = warn
        self._guard = threading.Lock()
        self._numbers = itertools.count(1)
        self._root: Path | None = None
        self._lock = -1
        self._owner = os.getpid()
        self._without = False

    def make(self, otherwise: Path) -> Path:
        """Makes an empty, private folder.

        Args:
            otherwise: What is made where no place can be used.
        """
        with self._guard:
            for _ in range(2):
                if self._root is None and not self._without:
                    self._begin()
                if self._root is None:
                    break
                path = self._root / str(next(self._numbers))
                try:
                    path.mkdir(PRIVATE)
                except OSError:  # The folder was cleaned up meanwhile: make it again.
                    self._end()
                else:
                    return path
        otherwise.mkdir(PRIVATE, exist_ok=True)
        return otherwise

    @staticmethod
    def give_back(path: Path) -> None:
        """Removes a folder with all that is in it."""
        try:
            path.rmdir()
        except OSError:
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Removes the folder of the build."""
        with self._guard:
            self._end()

    def _begin(self) -> None:
        reasons: list[str] = []
        for place in candidates() if self._places is None else self._places:
            reason = unfit(place)
            if reason is None:
                sweep(place)
                try:
                    self._root, self._lock = _locked(place)
                except OSError as error:
                    reason = (error.strerror or "it cannot be used").lower()
                else:
                    if reasons:
                        self._warn(f"temporary files of steps go to {place}; {'; '.join(reasons)}")
                    return
            reasons.append(f"not to {place}: {reason}")
        self._without = True
        self._warn(
            f"temporary files of steps go to their own folders, {'; '.join(reasons)}; "
            "where a step uses `multiprocessing`, it may fail for a name that is too long: "
            "set TMPDIR to a folder with a short name"
        )

    def _end(self) -> None:
        if self._root is not None and os.getpid() == self._owner:  # Not a fork of the build.
            shutil.rmtree(self._root, ignore_errors=True)
            with suppress(OSError):
                os.close(self._lock)
        self._root = None


def sweep(place: Path) -> None:
    """Removes the folders of builds that were killed."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in [each for each in entries if NAMED.fullmatch(each.name)]:
            with suppress(OSError):
                _remove_unlocked(Path(entry.path))


def _remove_unlocked(folder: Path) -> None:
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not ours or not (folder / MARKER).is_file():
        return
    descriptor = _opened(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _locked(place: Path) -> tuple[Path, int]:
    """Makes a folder, and locks it before it is marked: nobody sweeps what has no mark."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    descriptor = _opened(folder)
    with suppress(OSError):  # Not every network's file system has locks of folders.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (folder / MARKER).touch()
    return folder, descriptor


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
