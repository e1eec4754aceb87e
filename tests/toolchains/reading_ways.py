"""Ways in which a model's own code may read a file: small models, each of which reads in one way."""

from __future__ import annotations

import ctypes
import dbm
import io
import os
import sqlite3
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HEAD = """\
import os, sys
from pathlib import Path
HERE = Path(__file__).parent
DATA = str(HERE / "data.txt")
"""
Change = Callable[[Path], object]


def text(value: str, name: str = "data.txt") -> Change:
    """Writes a file of the project."""
    return lambda project: (project / name).write_text(value)


@dataclass(frozen=True)
class Way:
    """One way.

    Attributes:
        name: In words.
        body: What `read()` does.
        before: Makes what it reads.
        after: Changes that.
        needs: `torch` or `h5py`, where the standard library and numpy are not enough.
        top: Lines outside of `read()`.
    """

    name: str
    body: str
    before: Change = field(default=text("1"))
    after: Change = field(default=text("2"))
    needs: str = ""
    top: str = ""

    def model(self) -> str:
        """The source of the model."""
        body = "".join(f"    {line}\n" for line in self.body.splitlines())
        return f"{HEAD}{self.top}\n\ndef read():\n{body}"


def child(body: str) -> str:
    """Does something in a forked child."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return (
        f"pid = os.fork()\nif pid == 0:\n{lines}    os._exit(0)\nassert os.waitpid(pid, 0)[1] == 0"
    )


def arrays(value: int) -> Change:
    return lambda project: np.save(project / "a.npy", np.full(4, value, np.int32))


def archive(value: str) -> Change:
    def write(project: Path) -> None:
        with zipfile.ZipFile(project / "a.zip", "w") as stream:
            stream.writestr("inner.py", f"VALUE = {value}\n")

    return write


def tar(value: bytes) -> Change:
    def write(project: Path) -> None:
        with tarfile.open(project / "a.tar", "w") as stream:
            entry = tarfile.TarInfo("a")
            entry.size = len(value)
            stream.addfile(entry, io.BytesIO(value))

    return write


def database(value: int) -> Change:
    def write(project: Path) -> None:
        (project / "a.db").unlink(missing_ok=True)
        with sqlite3.connect(project / "a.db") as stream:
            stream.execute(f"create table gains as select {value} as gain")
        stream.close()

    return write


def keys(value: str) -> Change:
    def write(project: Path) -> None:
        for each in project.glob("a.dbm*"):
            each.unlink()
        with dbm.open(str(project / "a.dbm"), "c") as stream:
            stream["a"] = value

    return write


def link(target: str, name: str = "best") -> Change:
    def write(project: Path) -> None:
        (project / name).unlink(missing_ok=True)
        (project / name).symlink_to(target)

    return write


def linked(project: Path) -> None:
    text("1")(project)
    link("data.txt")(project)


def at_time(seconds: int) -> Change:
    def write(project: Path) -> None:
        text("1")(project)
        os.utime(project / "data.txt", (seconds, seconds))

    return write


def outside(folder: str, value: str) -> Change:
    """A file elsewhere that goes by the project's own name."""

    def write(project: Path) -> None:
        name = Path(folder) / f"modelbuild-test-{project.name}-{os.getpid()}"
        name.write_text(value)
        (project / "where.txt").write_text(str(name))

    return write


def beside(value: str) -> Change:
    def write(project: Path) -> None:
        (project.parent / "shared").mkdir(exist_ok=True)
        (project.parent / "shared" / "common.py").write_text(f"VALUE = {value}\n")

    return write


def listed(name: str) -> Change:
    def write(project: Path) -> None:
        (project / "d").mkdir(exist_ok=True)
        (project / "d" / name).write_text("")

    return write


def program(value: str) -> Change:
    def write(project: Path) -> None:
        (project / "tool").write_text(f"#!/bin/sh\necho {value}\n")
        (project / "tool").chmod(0o755)

    return write


def other_architecture(project: Path) -> None:
    """A program for i386 that opens `data.txt` and ends."""
    text("1")(project)
    base, head = 0x08048000, 52 + 32
    # open("data.txt", 0); exit(0)
    code = b"\xb8\x05\0\0\0\xbb" + struct.pack("<I", base + head + 26) + b"\x31\xc9\xcd\x80"
    code += b"\xb8\x01\0\0\0\x31\xdb\xcd\x80"
    code = code.ljust(26, b"\x90") + b"data.txt\0"
    size = head + len(code)
    file = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    file += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + head, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    file += struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 4096)
    (project / "old").write_bytes(file + code)
    (project / "old").chmod(0o755)


def tensors(value: int) -> Change:
    return lambda project: (project / "a.bin").write_bytes(np.full(4, value, np.float32).tobytes())


def h5(value: int) -> Change:
    """The smallest file that h5py opens is not worth writing by hand: it sees a foreign one, and fails."""
    return lambda project: (project / "a.h5").write_bytes(
        b"\x89HDF\r\n\x1a\n" + bytes([value]) * 64
    )


READ_TEXT = "Path(DATA).read_text()"
MODULE = "helper.py"
FOPEN = (
    "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.fopen.restype = ctypes.c_void_p\n"
    "assert libc.fopen(DATA.encode(), b'r')"
)
WORKER = "def load():\n    Path(DATA).read_text()\n"
PRESENT = text("1")


def absent(project: Path) -> None:
    (project / "data.txt").unlink(missing_ok=True)


WAYS = [
    Way("`open`", "open(DATA).read()"),
    Way("`os.open` relative to a folder",
        "os.open('data.txt', os.O_RDONLY, dir_fd=os.open(HERE, os.O_RDONLY))"),
    Way("`mmap`", "import mmap\nmmap.mmap(os.open(DATA, os.O_RDONLY), 0, prot=mmap.PROT_READ)[:]"),
    Way("`numpy.load`", "import numpy\nnumpy.load(HERE / 'a.npy')", arrays(1), arrays(2)),
    Way("`numpy.memmap`", "import numpy\nnumpy.memmap(HERE / 'a.npy')[0]", arrays(1), arrays(2)),
    Way("`zipfile`", "import zipfile\nzipfile.ZipFile(HERE / 'a.zip').read('inner.py')",
        archive("1"), archive("2")),
    Way("an import from a zip file", "sys.path.insert(0, str(HERE / 'a.zip'))\nimport inner",
        archive("1"), archive("2")),
    Way("`tarfile`", "import tarfile\ntarfile.open(HERE / 'a.tar').extractfile('a').read()",
        tar(b"1"), tar(b"2")),
    Way("SQLite", "import sqlite3\nsqlite3.connect(HERE / 'a.db').execute('select * from gains')",
        database(1), database(2)),
    Way("SQLite, by `ATTACH`",
        "import sqlite3\ndb = sqlite3.connect(':memory:')\n"
        "db.execute(\"attach '%s' as a\" % (HERE / 'a.db'))\n"
        "db.execute('select * from a.gains').fetchall()",
        database(1), database(2)),
    Way("`dbm`", "import dbm\ndbm.open(str(HERE / 'a.dbm'))['a']", keys("1"), keys("2")),
    Way("a module of the project", "import helper", text("V = 1", MODULE), text("V = 2", MODULE)),
    Way("a module beside the project",
        "sys.path.insert(0, str(HERE.parent / 'shared'))\nimport common", beside("1"), beside("2")),
    Way("a file through a link", "(HERE / 'best').read_text()", linked, text("2")),
    Way("a link that leads elsewhere", "(HERE / 'best').read_text()", linked,
        lambda project: (text("2", "other.txt")(project), link("other.txt")(project))),
    Way("`shutil.copyfile`", "import shutil\nshutil.copyfile(DATA, os.environ['TMPDIR'] + '/copy')"),
    Way("a hard link", "os.link(DATA, HERE / 'twin')\n(HERE / 'twin').read_text()\nos.unlink(HERE / 'twin')"),
    Way("a path through `/proc/self/cwd`", "os.chdir(HERE)\nopen('/proc/self/cwd/data.txt').read()"),
    Way("`ctypes`: `fopen`", FOPEN),
    Way("h5py", "import h5py\ntry:\n    h5py.File(HERE / 'a.h5')\nexcept OSError:\n    pass",
        h5(1), h5(2), needs="h5py"),
    Way("`torch.load`", "import torch\ntry:\n    torch.load(HERE / 'a.bin')\nexcept Exception:\n    pass",
        tensors(1), tensors(2), needs="torch"),
    Way("`torch.from_file`", "import torch\ntorch.from_file(str(HERE / 'a.bin'), size=4)",
        tensors(1), tensors(2), needs="torch"),
    Way("`UntypedStorage.from_file`",
        "import torch\ntorch.UntypedStorage.from_file(str(HERE / 'a.bin'), False, 16)",
        tensors(1), tensors(2), needs="torch"),
    Way("`PyTorchFileReader`",
        "import torch\ntry:\n    torch._C.PyTorchFileReader(str(HERE / 'a.bin'))\n"
        "except RuntimeError:\n    pass",
        tensors(1), tensors(2), needs="torch"),
    Way("`DataLoader(num_workers=1)`",
        "import torch.utils.data\n"
        "list(torch.utils.data.DataLoader(Lines(), num_workers=1))",
        needs="torch",
        top="class Lines:\n    def __len__(self):\n        return 1\n\n"
        "    def __getitem__(self, index):\n        return float(open(DATA).read())\n"),
    Way("`os.fork`", child(READ_TEXT)),
    Way("`multiprocessing.Process`, forked",
        "import multiprocessing\np = multiprocessing.get_context('fork').Process(target=load)\n"
        "p.start()\np.join()\nassert p.exitcode == 0", top=WORKER),
    Way("`multiprocessing.Process`, spawned",
        "import multiprocessing\np = multiprocessing.get_context('spawn').Process(target=load)\n"
        "p.start()\np.join()\nassert p.exitcode == 0", top=WORKER),
    Way("`multiprocessing.Pool`",
        "import multiprocessing\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n    pool.apply(load)", top=WORKER),
    Way("a fork server",
        "import multiprocessing\np = multiprocessing.get_context('forkserver').Process(target=load)\n"
        "p.start()\np.join()\nassert p.exitcode == 0", top=WORKER),
    Way("`subprocess`", "import subprocess\nsubprocess.run(['cat', DATA], check=True)"),
    Way("`os.system`", "assert os.system(f'cat {DATA}') == 0"),
    Way("`os.popen`", "os.popen(f'cat {DATA}').read()"),
    Way("`os.posix_spawn`",
        "pid = os.posix_spawn('/bin/cat', ['cat', DATA], os.environ)\nos.waitpid(pid, 0)"),
    Way("`os.exec` in a fork", child("os.execv('/bin/cat', ['cat', DATA])")),
    Way("a Python child",
        "import subprocess\nsubprocess.run([sys.executable, '-c', f'open({DATA!r}).read()'], check=True)"),
    Way("an isolated Python child",
        "import subprocess\n"
        "subprocess.run([sys.executable, '-I', '-c', f'open({DATA!r}).read()'], check=True)"),
    Way("a grandchild whose parent has ended",
        child("if os.fork() == 0:\n    os.setsid()\n    Path(DATA).read_text()\n"
              "    Path(os.environ['TMPDIR'], 'done').write_text('')\n    os._exit(0)")
        + "\nimport time\nwhile not os.path.exists(os.environ['TMPDIR'] + '/done'):\n    time.sleep(0.01)"),
    Way("a program of the project", "import subprocess\nsubprocess.run([HERE / 'tool'], check=True)",
        program("1"), program("2")),
    Way("`os.path.exists`", "os.path.exists(DATA)", absent, PRESENT),
    Way("`os.path.getsize`", "os.path.getsize(DATA)", after=text("22")),
    Way("`st_mtime`", "os.stat(DATA).st_mtime", at_time(10**9), at_time(10**9 + 1)),
    Way("`st_mtime` of a file that is read",
        "os.path.getmtime(DATA)\nopen(DATA).read()", at_time(10**9), at_time(10**9 + 1)),
    Way("the sizes of a folder's entries", "[each.stat().st_size for each in os.scandir(HERE)]",
        after=text("22")),
    Way("`os.readlink`", "os.readlink(HERE / 'best')", link("one"), link("two")),
    Way("a listing with hidden names", "os.listdir(HERE / 'd')", listed(".a"), listed(".b")),
    Way("a file in `/dev/shm`", "open(open(HERE / 'where.txt').read()).read()",
        outside("/dev/shm", "1"), outside("/dev/shm", "2")),
    Way("a file in `/etc`", "open(open(HERE / 'where.txt').read()).read()",
        outside("/etc", "1"), outside("/etc", "2")),
    Way("a program for another architecture",
        "import subprocess\nsubprocess.run([HERE / 'old'], cwd=HERE, check=False)",
        other_architecture, text("2")),
]  # fmt: skip
assert ctypes.sizeof(ctypes.c_void_p) == 8
