"""Watches, by the kernel, what a step and all that it starts reads.

`split` makes two processes of a step's one. The *watcher* is the parent: it is never filtered itself, so
it can always answer, and it lives as long as the step. The step itself goes on as the child; `Watched`
installs the filter there, after the imports and before the model's own code, and hands the listener
over. From then on each watched call of the step or of any descendant waits until the watcher has
recorded it. A digest is taken before the call is let through.

The watcher reads paths from the caller's memory, and the caller could change them afterwards: this
discovers what honest code reads, and holds nobody back.

Linux only. Standard library only.
"""

from __future__ import annotations

import array
import ctypes
import errno
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import threading
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from buildsys.toolchains.inside import syscalls
    from buildsys.toolchains.inside.reads import Reads

SWITCH = "MODELBUILD_WATCH"
"""The variable that turns the kernel's part off, with the value `python`."""
PYTHON = "python"
RING = "modelbuild: io_uring was refused, since what is read through it cannot be seen"
LOST = 70
"""The status of a step whose watcher was gone before it began."""

# How much of a call counts, as Python's side says of it before it makes it.
ANY, KIND, SIZE, TIME, ASIDE, OWN = range(6)
"""`ANY`: not said. `KIND`: only whether it is there. `SIZE`: that, and its size. `TIME`: that, and its
time, whatever else is read. `ASIDE`: neither a `stat` nor a listing counts; a file that is opened does.
`OWN`: nothing counts."""

SLOTS = 1 << 14
SLOT = struct.Struct("q")


class Annotations:
    """What Python's side says of the calls that its threads are about to make.

    It lies in memory that all processes of a step share: a number for each thread.

    Args:
        file: Where it lies; it is made where it is missing.
    """

    def __init__(self, file: str) -> None:
        size = SLOTS * SLOT.size
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, size)
            self._memory = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)

    def get(self, thread: int) -> int:
        """What a thread says."""
        (value,) = SLOT.unpack_from(self._memory, thread % SLOTS * SLOT.size)
        return value & 7 if value >> 3 == thread else ANY

    def put(self, level: int) -> int:
        """Says it of this thread's calls; gives what was said before."""
        thread = threading.get_native_id()
        before = self.get(thread)
        SLOT.pack_into(self._memory, thread % SLOTS * SLOT.size, thread << 3 | level)
        return before


class Watched:
    """The step's end: installs the filter and asks for the record.

    Args:
        control: A socket to the watcher.
        file: Where the annotations lie that it shares with it.
        annotations: They themselves.
        kernel: The module `syscalls`.
    """

    def __init__(
        self, control: socket.socket, file: str, annotations: Annotations, kernel: Any
    ) -> None:
        self._control = control
        self._kernel = kernel
        self.file = file
        self.annotations = annotations

    def begin(self) -> None:
        """Installs the filter.

        Raises:
            OSError: The watcher cannot read this process's memory, or is gone.
            syscalls.Unavailable: The kernel or the container refuses the filter.
        """
        known = ctypes.create_string_buffer(b"modelbuild")
        self._send({"probe": ctypes.addressof(known)})
        if self._receive() != "modelbuild":
            raise self._kernel.Unavailable("a process may not read the memory of its child")
        listener = self._kernel.install()
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))
            self._control.sendmsg([b"{}\n"], [rights])
        finally:
            os.close(listener)
        if self._receive() is not True:
            raise OSError(errno.EPIPE, "the watcher is gone")

    def report(self) -> list[list[str]]:
        """What was read until now: rows of name and digest."""
        self._send({"report": True})
        found: list[list[str]] = self._receive()
        return found

    def _send(self, message: dict[str, Any]) -> None:
        self._control.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self) -> Any:
        text = b""
        while not text.endswith(b"\n"):
            piece = self._control.recv(1 << 16)
            if not piece:
                raise OSError(errno.EPIPE, "the watcher is gone")
            text += piece
        return json.loads(text)


def split(reads: Reads, kernel: Any, folder: str) -> Watched:
    """Forks: the parent becomes the watcher and never returns, the child goes on as the step.

    Args:
        reads: The record that the watcher fills.
        kernel: The module `syscalls`.
        folder: The step's own folder.

    Raises:
        OSError: There is no memory for a fork.
    """
    file = os.path.join(folder, "annotations")
    annotations = Annotations(file)
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    watcher = os.getpid()
    child = os.fork()
    if child:
        theirs.close()
        _watch(child, ours, Watcher(reads, annotations, kernel))
    ours.close()
    ctypes.CDLL(None).prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != watcher:  # It died before it was said that we go with it.
        os._exit(LOST)
    return Watched(theirs, file, annotations, kernel)


def _watch(child: int, control: socket.socket, watcher: Watcher) -> NoReturn:
    """Answers until the step ends, then ends like it."""
    status = LOST << 8
    try:
        # Processes whose parent has ended stay our descendants: else their memory may be closed to us.
        ctypes.CDLL(None).prctl(watcher.kernel.PR_SET_CHILD_SUBREAPER, 1)
        status = watcher.run(child, control)
    except BaseException:
        traceback.print_exc()
        with suppress(OSError):
            os.kill(child, signal.SIGKILL)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with suppress(OSError, ValueError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # The step has left its own.
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else LOST)


THEMSELVES = ("/proc/self/", "/proc/thread-self/")


class Watcher:
    """Answers announced calls, and records them.

    Args:
        reads: The record.
        annotations: What Python's side says of its calls.
        kernel: The module `syscalls`.
    """

    def __init__(self, reads: Reads, annotations: Annotations, kernel: Any) -> None:
        self.kernel = kernel
        self._reads = reads
        self._annotations = annotations
        self._memory: syscalls.Memory = kernel.Memory()
        self._listener: syscalls.Listener | None = None
        self._rings = 0
        skipped = (*reads.outside, "/sys/", "/dev/null", "/dev/urandom")
        own = reads.root + os.sep
        self._skipped = tuple(
            os.fsencode(each) for each in skipped if not own.startswith(each) and each not in ("/",)
        )

    def run(self, child: int, control: socket.socket) -> int:
        """Answers until the step ends; gives the status that it ended with."""
        poll = select.poll()
        poll.register(control, select.POLLIN)
        ending = -1
        with suppress(OSError, AttributeError):
            ending = os.pidfd_open(child)
            poll.register(ending, select.POLLIN)
        while True:
            ready = dict(poll.poll(None if ending >= 0 else 20))
            # First what waits for an answer: what is asked for afterwards counts it.
            if self._listener is not None and self._listener.descriptor in ready:
                if ready[self._listener.descriptor] & select.POLLIN:
                    self._answer(self._listener)
                else:  # All that was filtered has ended.
                    poll.unregister(self._listener.descriptor)
                continue
            if control.fileno() in ready and not self._serve(child, control, poll):
                poll.unregister(control)
            if ending in ready or ending < 0:
                found, status = os.waitpid(child, os.WNOHANG)
                if found:
                    return status

    def _serve(self, child: int, control: socket.socket, poll: select.poll) -> bool:
        """Answers the step itself; whether it may ask for more."""
        try:
            text, held, _, _ = control.recvmsg(1 << 12, socket.CMSG_SPACE(4))
            if not text:
                return False
            message = json.loads(text)
            answer: Any = True
            if "probe" in message:
                answer = ""
                with suppress(OSError):
                    answer = self._memory.text(child, message["probe"]).decode()
            elif "report" in message:
                answer = [[row["path"], row["digest"]] for row in self._reads.report()]
            for level, kind, data in held:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    (descriptor,) = array.array("i", data)
                    self._listener = self.kernel.Listener(descriptor)
                    poll.register(descriptor, select.POLLIN)
            control.sendall(json.dumps(answer).encode() + b"\n")
        except (OSError, ValueError):
            return False
        return True

    def _answer(self, listener: syscalls.Listener) -> None:
        notice = listener.receive()
        if notice is None:
            return
        try:
            if notice.call is not None and notice.call.what == "ring":
                # What is read through a ring is not announced. Programs fall back to plain calls.
                listener.refuse(notice, errno.ENOSYS)
                self._rings += 1
                if self._rings == 1:
                    print(RING, file=sys.stderr, flush=True)
                return
            self._look(listener, notice)
        except Exception as error:  # The step must not hang, and the gap must not go unnoticed.
            if listener.is_valid(notice):
                traceback.print_exc()
                self._reads.unseen(f"a system call that could not be looked at ({error})")
        listener.proceed(notice)

    def _look(self, listener: syscalls.Listener, notice: syscalls.Notice) -> None:
        call = notice.call
        if call is None:
            self._reads.unseen("a program for another processor architecture")
            return
        if call.path is None:
            self._without_path(notice, call)
            return
        try:
            path = self._memory.text(notice.thread, notice.arguments[call.path])
        except OSError as error:
            # A null pointer is the caller's own mistake, and the kernel says so.
            if error.errno != errno.EFAULT and listener.is_valid(notice):
                self._reads.unseen("a process whose memory may not be read")
            return
        level = self._annotations.get(notice.thread)
        if level == OWN or (path.startswith(self._skipped) and b"/.." not in path):
            return
        text = self._place(notice, path, call.folder)
        if text is None or not listener.is_valid(notice):
            return
        if not path:  # The file of a descriptor, which was seen when it was opened.
            if call.what == "run":
                self._runs(text)
            return
        self._record(notice, call, text, level)

    def _place(self, notice: syscalls.Notice, path: bytes, folder: int | None) -> str | None:
        """Where a path of the caller's leads; `None` where the system does not tell."""
        own = f"/proc/{notice.thread}"
        text = os.fsdecode(path)
        for each in THEMSELVES:
            if text.startswith(each):
                text = f"{own}/{text[len(each) :]}"
        base = None
        try:
            if not text.startswith(os.sep):
                descriptor = self.kernel.AT_FDCWD
                if folder is not None:
                    descriptor = ctypes.c_int32(notice.arguments[folder] & 0xFFFFFFFF).value
                at_cwd = descriptor == self.kernel.AT_FDCWD
                base = os.readlink(f"{own}/cwd" if at_cwd else f"{own}/fd/{descriptor}")
                if not base.startswith(os.sep):
                    return None  # Not a folder, and the call will fail.
        except OSError:
            return None
        return self._reads.place(text, base)

    def _without_path(self, notice: syscalls.Notice, call: syscalls.Call) -> None:
        if call.what == "list":
            if self._annotations.get(notice.thread) >= ASIDE:
                return
            with suppress(OSError):
                folder = os.readlink(f"/proc/{notice.thread}/fd/{notice.arguments[0] & 0xFFFFFFFF}")
                if folder.startswith(os.sep):
                    self._reads.lists(self._reads.place(folder))
        elif call.what == "handle":
            self._reads.unseen("a file that was opened by its handle")
        elif call.flags is None or notice.arguments[0] & self.kernel.NEW_NAMESPACES:
            self._reads.unseen("a process with a file tree of its own")

    def _record(self, notice: syscalls.Notice, call: syscalls.Call, text: str, level: int) -> None:
        reads = self._reads
        if call.what in ("open", "open2", "creat"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            if call.what == "open2":
                (flags,) = struct.unpack(
                    "Q", self._memory.read(notice.thread, notice.arguments[2], 8)
                )
            elif call.flags is not None:
                flags = notice.arguments[call.flags]
            if flags & self.kernel.O_PATH:
                reads.asked(text)
            else:
                reads.opened(text, flags & 0xFFFFFFFF)
        elif call.what == "stat":
            if level != ASIDE:
                reads.asked(
                    text,
                    size=level != KIND,
                    time=level in (ANY, TIME),
                    weak=level == ANY,
                )
        elif call.what in ("access", "readlink"):
            if level != ASIDE and (call.what == "access" or os.path.islink(text)):
                reads.asked(text)
        elif call.what == "run":
            self._runs(text)
        elif call.what == "create":
            reads.creates(text)
        else:
            self._moves(notice, call, text)

    def _runs(self, text: str) -> None:
        """Records a program of the user's, and what a script asks to be run by."""
        self._reads.read(text)
        with suppress(OSError), open(text, "rb") as stream:
            line = stream.readline(256)
            if line.startswith(b"#!") and line[2:].split():
                self._reads.read(self._reads.place(line[2:].split()[0]))

    def _moves(self, notice: syscalls.Notice, call: syscalls.Call, source: str) -> None:
        folder, at = (2, 3) if call.what == "move" else (None, 1)
        path = self._memory.text(notice.thread, notice.arguments[at])
        target = self._place(notice, path, folder)
        if target is not None:
            self._reads.moves(source, target)
