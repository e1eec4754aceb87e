"""Keeps the record of what a model's own code reads, and says what is on record now.

Two watchers fill the record by the same rules: the kernel (`watch.py`) and Python's audit hook
(`hook.py`). The engine asks `discovered_digest` whether a record still holds.

A record is a name and a digest. The name is a path relative to the project, and its end says what of
the path counts:

| name | what counts |
|---|---|
| `data/a.bin` | the content of the file |
| `data/` | the names in the folder |
| `data/*.py` | which modules the folder offers |
| `data/a.bin//` | whether it is there, and as what; of a link, where it leads |
| `data/a.bin//size` | its size |
| `data/a.bin//time` | its time of modification |
| `?//…` | something was read that nothing could see; the rest says what |

Standard library only: workers load it inside of their toolchains.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

ABSENT = "absent"
"""Stands for the digest of a file that was looked for and is not there."""
FILE, FOLDER = "file", "folder"
"""Stand for the digest of what was only asked whether it is there."""
MODULES = "*.py"
"""Ends the path of a record on which modules a folder offers."""
PRESENCE = "//"
"""Ends the path of a record on whether something is there, and of what kind."""
SIZE, TIME = "//size", "//time"
"""End the path of a record on a file's size, or on its time of modification."""
UNSEEN = "?//"
"""Begins the name of a record on something that was read where nothing could see it."""
NOT_SEEN = "not seen"
"""Stands for the digest of such a record: it never changes."""

NOBODYS = frozenset((".git", "__pycache__"))
UNLISTED = (
    "__pycache__",
    "artifacts",  # A build makes this folder beside the recipe.
    ".git",
    ".hg",
    ".svn",
    ".DS_Store",
    ".cache",
    ".*_cache",
    ".idea",
    ".vscode",
    ".*.sw?",  # Editors leave these while a file is open.
    ".#*",
    ".~lock.*",
    ".nfs*",
)
"""Names that tools put into folders for themselves: they come and go, and no model depends on them."""

MACHINE = (
    # Programs and libraries of the system: which machine it is, not what the model reads.
    "/bin/",
    "/sbin/",
    "/lib/",
    "/lib32/",
    "/lib64/",
    "/libx32/",
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/lib/",
    "/usr/lib32/",
    "/usr/lib64/",
    "/usr/libx32/",
    "/usr/libexec/",
    "/usr/local/bin/",
    "/usr/local/sbin/",
    "/usr/local/lib/",
    "/usr/local/lib64/",
    "/usr/local/cuda",
    "/nix/store/",
    "/System/",
    "/Library/",
    # What the C library and others look up on everybody's behalf: languages, time zones, fonts.
    "/usr/share/locale",
    "/usr/share/i18n/",
    "/usr/share/zoneinfo/",
    "/usr/share/terminfo/",
    "/usr/share/fonts/",
    "/usr/share/fontconfig/",
    "/usr/share/mime/",
    "/usr/share/ca-certificates/",
    "/var/cache/fontconfig/",
    "/var/lib/sss/",
    "/run/nscd/",
    "/run/systemd/",
    # The loader.
    "/etc/ld.so.",
    # Names of users, groups, hosts and services, as `getpwuid` and `getaddrinfo` ask for them.
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/networks",
    # Which system this is, its clock, its language.
    "/etc/machine-id",
    "/etc/os-release",
    "/etc/lsb-release",
    "/etc/debian_version",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/locale",
    "/etc/default/locale",
    # Certificates, kinds of files, fonts; and links to the system's programs.
    "/etc/ssl/",
    "/etc/pki/",
    "/etc/ca-certificates",
    "/etc/crypto-policies/",
    "/etc/mime.types",
    "/etc/fonts/",
    "/etc/alternatives/",
    "/etc/terminfo/",
    "/etc/python3",
    # GPU drivers find each other here.
    "/etc/OpenCL/",
    "/etc/vulkan/",
    "/etc/glvnd/",
    "/etc/nvidia/",
)
"""Beginnings of paths that say which machine this is. No model's bytes should depend on them, and they
differ from one machine to the next: to count them would make artifacts stale with each system update."""
KERNEL = ("/proc/", "/sys/", "/dev/")
"""What the kernel makes up when it is asked."""
SHARED_MEMORY = "/dev/shm/"  # noqa: S108
"""Files like any others, though they lie in memory."""

THROUGH = re.compile(r"/proc/(self|thread-self|[0-9]+)/(cwd|root|fd/[0-9]+|task/[0-9]+/.*)(/|$)")
"""Paths that lead out of `/proc` again."""


@functools.cache
def forms(folder: str) -> tuple[str, str]:
    """A folder as it is named, and with all links followed; both end with a separator.

    A process that is forked for many steps asks once for the folders that they have in common.
    """
    return os.path.abspath(folder) + os.sep, os.path.realpath(folder) + os.sep


class Reads:
    """The record of a step: files, folder listings, and which modules there are.

    Digests are taken when a file is about to be read for the first time, so that they are of what was
    read.

    Args:
        project: The recipe's folder.
        ignored: Folders whose files do not count: they are in the key by other ways, or nobody's.
    """

    def __init__(self, project: str | os.PathLike[str], ignored: Iterable[str | os.PathLike[str]]):
        self.root = os.path.abspath(project)
        self.real = os.path.realpath(project)
        ignored = list(ignored)
        folders = {form for path in ignored for form in forms(os.fspath(path))}
        inside = self.root + os.sep
        # A prefix that holds the project itself (`/usr`, an environment in its folder) must not
        # hide the project's files; one below the project (`.venv`) hides its own.
        self._within = tuple(f for f in folders if f.startswith(inside) and f != inside)
        self.outside = (*folders, *MACHINE)
        self._found: dict[str, str] = {}
        self._weak: set[str] = set()
        self._made: set[str] = set()
        self._leads: dict[str, bool] = {}

    @contextlib.contextmanager
    def own(self) -> Iterator[None]:
        """What happens meanwhile is the recorder's own doing, and does not count."""
        yield

    def ignores(self, path: str) -> bool:
        """Whether a path does not count."""
        if (path + os.sep).startswith(self.root + os.sep):
            return (path + os.sep).startswith(self._within)
        if self._is_elsewhere(path):
            return True
        with self.own():
            if os.path.islink(path):
                return self._is_elsewhere(os.path.realpath(path))
            folder = os.path.dirname(path)
            if folder not in self._leads:
                self._leads[folder] = self._is_elsewhere(os.path.realpath(folder))
        return self._leads[folder]

    def _is_elsewhere(self, path: str) -> bool:
        path += os.sep
        if path.startswith(self.outside):
            return True
        return path.startswith(KERNEL) and not path.startswith(SHARED_MEMORY)

    def place(self, path: str | bytes, folder: str | None = None) -> str:
        """An absolute path without `..`, below the project's by the name that we know it by.

        The current directory and what the kernel tells of a descriptor are without links.

        Args:
            path: As it was given.
            folder: What it is relative to; the current directory by default.
        """
        text = os.fsdecode(path)
        if not text.startswith(os.sep):
            text = os.path.join(os.getcwd() if folder is None else folder, text)
        if THROUGH.match(text):
            with self.own():
                text = os.path.realpath(text)
        if os.pardir in text.split(os.sep):
            # Before `..` may be a link, and then it leads up from where the link leads.
            head, tail = os.path.split(text)
            with self.own():
                whole = tail in ("", os.curdir, os.pardir)
                text = os.path.realpath(text if whole else head)
            text = text if whole else os.path.join(text, tail)
        text = os.path.normpath(text)
        if self.real != self.root and (text + os.sep).startswith(self.real + os.sep):
            return self.root + text[len(self.real) :]
        return text

    def opened(self, text: str, flags: int) -> None:
        """Records a file that is about to be opened, unless only to be written.

        Args:
            text: Its place.
            flags: As in `os.open`.
        """
        writes = flags & os.O_ACCMODE != os.O_RDONLY
        with self.own():
            new = flags & os.O_CREAT and not os.path.lexists(text)
        if new or (writes and flags & os.O_TRUNC):
            self.makes(text)  # What it reads there later, it wrote itself.
        elif flags & os.O_ACCMODE != os.O_WRONLY and not self.is_made(text):
            self.read(text)  # For both as well: `numpy.memmap` opens like this by default.

    def makes(self, text: str) -> None:
        """Notes what the code itself puts there: that it is there then tells nothing."""
        if self._name(text) not in self._found:
            self._made.add(text)

    def creates(self, text: str) -> None:
        """Notes a folder or a link that the code is about to make, unless something is there already."""
        with self.own():
            there = os.path.lexists(text)
        if not there:
            self.makes(text)

    def is_made(self, path: str) -> bool:
        """Whether the code itself made a path, or a folder above it."""
        while len(path) > 1:
            if path in self._made:
                return True
            path = os.path.dirname(path)
        return False

    def moves(self, source: str, target: str) -> None:
        """Records a file of the user's that gets another name; what the code made stays its own."""
        if self.is_made(source):
            self.makes(target)
        else:
            self.read(source)
            self.creates(target)

    def read(self, path: str | bytes) -> None:
        """Records a file that is about to be read, or that is looked for in vain."""
        text = self.place(path)
        if text.endswith(".pyc") and os.path.basename(os.path.dirname(text)) == "__pycache__":
            # Outside of the project byte code is used; what counts is the source it stands for.
            text = importlib.util.source_from_cache(text)
        name = self._name(text)
        if name in self._found or self.is_made(text) or self.ignores(text):
            return
        with self.own():
            try:
                mode = os.stat(text).st_mode
            except OSError:
                mode = None
        if mode is None:
            # What is looked for in vain outside of the project is the machine's affair: search paths.
            if not name.startswith(".."):
                self._keep(name, ABSENT)
        elif stat.S_ISREG(mode):  # A pipe would block, and a folder has its listing.
            with self.own():
                self._keep(name, file_digest(text))

    def lists(self, text: str) -> None:
        """Records the names in a folder."""
        if not self.is_made(text):
            self._record(text, "", listing_digest)

    def modules(self, folder: str) -> None:
        """Records which modules a folder of the project offers: another one may shadow what is used."""
        self._record(self.place(folder), MODULES, modules_digest)

    def asked(
        self, text: str, *, size: bool = False, time: bool = False, weak: bool = False
    ) -> None:
        """Records what a `stat` tells.

        Outside of the project the absence of a file is the machine's affair, and so are folders.

        Args:
            text: The place of the file.
            size: Whether its size counts as well.
            time: Whether its time of modification counts as well.
            weak: Whether the time only counts if the file itself is not read.
        """
        name = self._name(text)
        if text == self.root or self._excepted(name) or self.is_made(text):
            return
        if name + PRESENCE in self._found and not size and not time:
            return
        if self.ignores(text):
            return
        with self.own():
            kind = presence_digest(text)
            outside = name.startswith("..")
            if outside and kind in (ABSENT, FOLDER):
                return
            self._keep(name + PRESENCE, kind)
            if (size or time) and os.path.isfile(text):
                self._keep(name + SIZE, size_digest(text))
            if time and os.path.isfile(text):
                self._keep(name + TIME, time_digest(text), weak)

    def unseen(self, what: str) -> None:
        """Records that something was read, or may have been, where nothing could see it."""
        self._keep(UNSEEN + what, NOT_SEEN)

    @staticmethod
    def _excepted(name: str) -> bool:
        parts = name.split(os.sep)
        # A build makes the folder of artifacts beside the recipe.
        return parts[0] == "artifacts" or not NOBODYS.isdisjoint(parts)

    def _name(self, path: str) -> str:
        # A link is known by its own name: it may lead elsewhere the next time. What leads out of
        # the project does so from where its folder really is, as it will when it is looked at.
        inside = (path + os.sep).startswith(self.root + os.sep)
        return os.path.relpath(path, self.root if inside else self.real)

    def _record(self, path: str, suffix: str, digest: Callable[[str], str]) -> None:
        name = f"{self._name(path)}/{suffix}"
        if name in self._found or self.ignores(path):
            return
        with self.own():
            found = digest(path)
        if found != ABSENT or not name.startswith(".."):
            self._keep(name, found)

    def _keep(self, name: str, digest: str, weak: bool = False) -> None:
        """Takes a row into the record; what is known already stays."""
        if name not in self._found:
            self._found[name] = digest
            if weak:
                self._weak.add(name)
        elif not weak:
            self._weak.discard(name)

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Takes over what another process of the step recorded: name, digest, whether it is weak."""
        for name, digest, *weak in rows:
            self._keep(name, digest, any(weak))

    def report(self) -> list[dict[str, str]]:
        """What was read, with digests; paths are relative to the project."""
        there: set[str] = set()
        read: set[str] = set()
        for name, digest in self._found.items():
            if digest != ABSENT and not name.startswith(UNSEEN):
                plain = name.partition(PRESENCE)[0]
                if plain == name:
                    there.add(name.rstrip("/"))
                    read.add(name)
                while plain := os.path.dirname(plain):
                    there.add(plain)
        return [
            {"path": name, "digest": digest}
            for name, digest in sorted(self._found.items())
            if not self._implied(name, digest, there, read)
        ]

    def _implied(self, name: str, digest: str, there: set[str], read: set[str]) -> bool:
        """Whether another record says as much."""
        plain, _, what = name.partition(PRESENCE)
        if name.startswith(UNSEEN) or plain == name:
            return False
        if (
            what == ""
        ):  # The digest of a file says that it is there, and so does what is below a folder.
            return digest in (FILE, FOLDER) and plain in there
        return plain in read and (what == "size" or name in self._weak)

    def digests(self) -> dict[str, str]:
        """What was read until now, path to digest."""
        return {row["path"]: row["digest"] for row in self.report()}


def file_digest(path: str) -> str:
    """A file's digest, or `absent`."""
    try:
        with open(path, "rb") as stream:
            return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ABSENT


def listing_digest(path: str) -> str:
    """The digest of a folder's names, hidden ones too, without those that tools put there."""
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return ABSENT
    kept = [n for n in names if not any(fnmatch.fnmatchcase(n, each) for each in UNLISTED)]
    text = "\0".join(kept).encode(errors="surrogateescape")
    return "list:" + hashlib.sha256(text).hexdigest()


def modules_digest(path: str) -> str:
    """The digest of the names of a folder's modules and packages."""
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError:
        return ABSENT
    suffixes = tuple(importlib.machinery.SOURCE_SUFFIXES + importlib.machinery.EXTENSION_SUFFIXES)
    kept = [
        entry.name
        for entry in entries
        if entry.name.endswith(suffixes) or os.path.isfile(os.path.join(entry.path, "__init__.py"))
    ]
    return "modules:" + hashlib.sha256("\0".join(kept).encode()).hexdigest()


def presence_digest(path: str) -> str:
    """`file`, `folder` or `absent`; of a link, where it leads, whether there is anything or not."""
    try:
        target = os.readlink(path)
    except OSError:
        if not os.path.lexists(path):
            return ABSENT
        return FOLDER if os.path.isdir(path) else FILE
    kind = FOLDER if os.path.isdir(path) else FILE if os.path.exists(path) else ABSENT
    return "link:" + hashlib.sha256(f"{target}\0{kind}".encode()).hexdigest()


def size_digest(path: str) -> str:
    """A file's size, or `absent`."""
    try:
        return f"size:{os.stat(path).st_size}"
    except OSError:
        return ABSENT


def time_digest(path: str) -> str:
    """A file's time of modification, or `absent`."""
    try:
        return f"time:{os.stat(path).st_mtime_ns}"
    except OSError:
        return ABSENT


def discovered_digest(project: str, name: str) -> str:
    """The digest now of what a record names; asked by the engine, of the same functions."""
    if name.startswith(UNSEEN):
        return NOT_SEEN
    path = os.path.join(project, name)
    for end, digest in ((SIZE, size_digest), (TIME, time_digest), (PRESENCE, presence_digest)):
        if name.endswith(end):
            return digest(path.removesuffix(end))
    if name.endswith("/" + MODULES):
        return modules_digest(os.path.dirname(path))
    return listing_digest(path) if name.endswith("/") else file_digest(path)


def unseen(found: Iterable[str]) -> list[str]:
    """What of a record nothing could see, in words."""
    return [name.removeprefix(UNSEEN) for name in sorted(found) if name.startswith(UNSEEN)]
