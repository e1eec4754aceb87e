"""The kernel's side of watching: which system calls are watched, and how they are announced.

A seccomp filter announces the calls that take a path (and a few others) to whoever holds its listener,
and lets all others pass. It needs no root. It is inherited by every process that the filtered one
starts, whatever program that is.

Linux only, x86-64 and aarch64. Standard library only.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
import sys
from contextlib import suppress
from typing import Any, NamedTuple

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
SET_MODE_FILTER = 1
TSYNC, NEW_LISTENER, TSYNC_ESRCH, WAIT_KILLABLE = 1 << 0, 1 << 3, 1 << 4, 1 << 5
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
RECEIVE, ANSWER, IS_VALID, SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082102, 0x40082104
CONTINUE = 1
SYNC_WAKE_UP = 1
X32 = 0x40000000
"""Marks calls of the x32 ABI, which have numbers of their own."""
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
O_PATH = 0o10000000
NEW_NAMESPACES = 0x00020000 | 0x10000000
"""Flags of `unshare`: a tree of files of its own, or a user, who may have one."""


class Call(NamedTuple):
    """A watched system call.

    Attributes:
        what: What it does to the path.
        path: The argument that holds the path's address; `None` where there is none.
        folder: The argument that holds the folder that the path is relative to.
        flags: The argument that holds flags.
    """

    what: str
    path: int | None = None
    folder: int | None = None
    flags: int | None = None


ANYWHERE = {
    "openat": Call("open", 1, 0, 2),
    "openat2": Call("open2", 1, 0, 2),
    "newfstatat": Call("stat", 1, 0, 3),
    "statx": Call("stat", 1, 0, 2),
    "faccessat": Call("access", 1, 0),
    "faccessat2": Call("access", 1, 0),
    "readlinkat": Call("readlink", 1, 0),
    "getdents64": Call("list", None, 0),
    "execve": Call("run", 0),
    "execveat": Call("run", 1, 0, 4),
    "mkdirat": Call("create", 1, 0),
    "mknodat": Call("create", 1, 0),
    "symlinkat": Call("create", 2, 1),
    "linkat": Call("move", 1, 0),
    "renameat": Call("move", 1, 0),
    "renameat2": Call("move", 1, 0),
    "name_to_handle_at": Call("access", 1, 0),
    "open_by_handle_at": Call("handle"),
    "io_uring_setup": Call("ring"),
    "chroot": Call("tree"),
    "pivot_root": Call("tree"),
    "mount": Call("tree"),
    "move_mount": Call("tree"),
    "setns": Call("tree"),
    "unshare": Call("tree", None, None, 0),
}
OF_X86 = {
    "open": Call("open", 0, None, 1),
    "creat": Call("creat", 0),
    "stat": Call("stat", 0),
    "lstat": Call("stat", 0),
    "access": Call("access", 0),
    "readlink": Call("readlink", 0),
    "getdents": Call("list", None, 0),
    "mkdir": Call("create", 0),
    "mknod": Call("create", 0),
    "symlink": Call("create", 1),
    "link": Call("move2", 0),
    "rename": Call("move2", 0),
}
"""Calls that newer architectures do not have; `move2` has both paths, and no folders."""
NUMBERS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "openat": 257, "openat2": 437, "newfstatat": 262, "statx": 332, "faccessat": 269,
            "faccessat2": 439, "readlinkat": 267, "getdents64": 217, "execve": 59, "execveat": 322,
            "mkdirat": 258, "mknodat": 259, "symlinkat": 266, "linkat": 265, "renameat": 264,
            "renameat2": 316, "name_to_handle_at": 303, "open_by_handle_at": 304,
            "io_uring_setup": 425, "chroot": 161, "pivot_root": 155, "mount": 165,
            "move_mount": 429, "setns": 308, "unshare": 272,
            "open": 2, "creat": 85, "stat": 4, "lstat": 6, "access": 21, "readlink": 89,
            "getdents": 78, "mkdir": 83, "mknod": 133, "symlink": 88, "link": 86, "rename": 82,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "openat": 56, "openat2": 437, "newfstatat": 79, "statx": 291, "faccessat": 48,
            "faccessat2": 439, "readlinkat": 78, "getdents64": 61, "execve": 221, "execveat": 281,
            "mkdirat": 34, "mknodat": 33, "symlinkat": 36, "linkat": 37, "renameat": 38,
            "renameat2": 276, "name_to_handle_at": 264, "open_by_handle_at": 265,
            "io_uring_setup": 425, "chroot": 51, "pivot_root": 41, "mount": 40,
            "move_mount": 429, "setns": 268, "unshare": 97,
        },
    ),
}  # fmt: skip
"""The value by which seccomp knows an architecture, and its numbers of the calls."""
NUMBER_OF_SECCOMP = {"x86_64": 317, "aarch64": 277}


class Unavailable(Exception):
    """The kernel, or the container, does not let us watch; the message says why."""


class Notice(NamedTuple):
    """A call that waits for our answer.

    Attributes:
        id: What the answer is given by.
        thread: Whose call it is.
        call: What it does; `None` for a call of another architecture's.
        arguments: Its six arguments.
    """

    id: int
    thread: int
    call: Call | None
    arguments: tuple[int, ...]


def machine() -> str:
    """The architecture whose calls this process makes.

    Raises:
        Unavailable: We have no table of it.
    """
    if sys.platform != "linux":
        raise Unavailable("only Linux can announce system calls")
    name = platform.machine()
    if name not in NUMBERS or struct.calcsize("P") != 8 or sys.byteorder != "little":
        raise Unavailable(f"no table of system calls for {name}")
    return name


def calls(name: str) -> dict[int, Call]:
    """The watched calls of an architecture by number."""
    known = ANYWHERE | OF_X86
    return {number: known[each] for each, number in NUMBERS[name][1].items()}


def program(name: str) -> bytes:
    """The filter: announces the watched calls, and all that are of another architecture's."""
    architecture, numbers = NUMBERS[name]
    watched = sorted(numbers.values())
    count = len(watched)
    code = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 0, count + 3, architecture), (LOAD, 0, 0, 0)]
    code.append((JUMP_SET, count + 1, 0, X32))
    code += [(JUMP_EQUAL, count - at, 0, number) for at, number in enumerate(watched)]
    code += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, NOTIFY)]
    return b"".join(struct.pack("HBBI", *each) for each in code)


def install() -> int:
    """Filters this process, all its threads and all that it starts, for ever; gives the listener.

    Raises:
        Unavailable: It cannot be done here. Nothing is filtered then.
    """
    name = machine()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise Unavailable(f"prctl: {os.strerror(ctypes.get_errno())}")
    code = program(name)
    held = ctypes.create_string_buffer(code)
    given = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    )
    number = NUMBER_OF_SECCOMP[name]
    wanted = NEW_LISTENER | TSYNC | TSYNC_ESRCH
    # Older kernels do not know the later flags; without the last, threads that run already are missed.
    for flags in (wanted | WAIT_KILLABLE, wanted, NEW_LISTENER):
        listener: int = libc.syscall(number, SET_MODE_FILTER, flags, given)
        if listener >= 0:
            return listener
    reason = os.strerror(ctypes.get_errno())
    raise Unavailable(f"this kernel or container refuses seccomp notifications ({reason})")


class Listener:
    """Receives announced calls and answers them.

    Args:
        descriptor: What `install` gave.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._architecture = NUMBERS[machine()][0]
        self._calls = calls(machine())
        self._request = bytearray(80)
        with suppress(OSError):  # From Linux 6.6 on it saves a switch of processors for each call.
            fcntl.ioctl(descriptor, SET_FLAGS, SYNC_WAKE_UP)

    def receive(self) -> Notice | None:
        """The next call; `None` where its process has gone in between."""
        request = self._request
        request[:] = bytes(80)
        try:
            fcntl.ioctl(self.descriptor, RECEIVE, request)
        except OSError:
            return None
        number, thread, _, call, architecture = struct.unpack_from("QIIiI", request)
        found = self._calls.get(call) if architecture == self._architecture else None
        return Notice(number, thread, found, struct.unpack_from("6Q", request, 32))

    def is_valid(self, notice: Notice) -> bool:
        """Whether the call still waits: else what was read of its process may be another's."""
        try:
            fcntl.ioctl(self.descriptor, IS_VALID, struct.pack("Q", notice.id))
        except OSError:
            return False
        return True

    def proceed(self, notice: Notice) -> None:
        """Lets the kernel do the call."""
        self._answer(struct.pack("QqiI", notice.id, 0, 0, CONTINUE))

    def refuse(self, notice: Notice, error: int) -> None:
        """Ends the call with an error, as if the kernel did not have it."""
        self._answer(struct.pack("QqiI", notice.id, 0, -error, 0))

    def _answer(self, response: bytes) -> None:
        with suppress(OSError):  # Its process may have gone.
            fcntl.ioctl(self.descriptor, ANSWER, bytearray(response))


class Vector(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


PAGE = 4096
LONGEST = 4096


class Memory:
    """Reads the memory of other processes."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._buffer = ctypes.create_string_buffer(LONGEST)
        self._local = Vector(ctypes.addressof(self._buffer), 0)
        self._remote = Vector(None, 0)
        self._read: Any = self._libc.process_vm_readv
        self._read.restype = ctypes.c_ssize_t
        self._here, self._there = ctypes.byref(self._local), ctypes.byref(self._remote)
        self._zero = ctypes.c_ulong(0)
        self._one = ctypes.c_ulong(1)

    def read(self, process: int, address: int, length: int) -> bytes:
        """Reads up to so many bytes.

        Raises:
            OSError: It is not allowed, or nothing is there.
        """
        self._local.length = self._remote.length = length
        self._remote.base = address
        got = self._read(process, self._here, self._one, self._there, self._one, self._zero)
        if got >= 0:
            return self._buffer.raw[:got]
        # Some containers refuse the call and allow the file; it is opened again for each read, since
        # it belongs to the memory from before an `execve`.
        descriptor = os.open(f"/proc/{process}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, length, address)
        finally:
            os.close(descriptor)

    def text(self, process: int, address: int) -> bytes:
        """Reads a string that ends with a zero.

        Raises:
            OSError: It is not allowed, or there is none.
        """
        found = b""
        while len(found) <= LONGEST:
            # Not beyond the page: nothing may be there.
            at = address + len(found)
            piece = self.read(process, at, PAGE - at % PAGE)
            end = piece.find(b"\0")
            if end >= 0:
                return found + piece[:end]
            if not piece:
                raise OSError("the string has no end")
            found += piece
        raise OSError("the string has no end")


if __name__ == "__main__":  # Tells whether it can be had here.
    try:
        install()
    except Unavailable as error:
        print(error)
        sys.exit(1)
