"""The folder that an action runs in: its inputs, its request, what it wrote, and what is kept.

Folders of actions that ended well are emptied and used again: to make five and to remove them takes
longer than all else that is done for an action, the more so as ext4 passes over every inode that was
freed in the last minutes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shlex
import shutil
import stat
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from buildsys.backends import BUILT_IN
from buildsys.engine.executors.job import JobSpec
from buildsys.engine.executors.temporary import TemporaryFolders
from buildsys.store import Store, Stored
from buildsys.store.content import (
    RESUME,
    hash_file,
    tree_digest,
    tree_files,
    tree_manifest,
    writing,
)
from buildsys.toolchains.inside.program import PROGRESS

PARTS = {
    "in": (),
    "out": (),
    "scratch": (),
    ".": ("in", "out", "scratch"),
}
"""The folders in it from the innermost, and what stays in each."""
PRIVATE = 0o700
RERUN = """\
#!/bin/sh
# Repeats this step by hand; its outputs go to out/, its verdict to result.json.
cd {scratch} || exit
# By a short name: sockets are made there.
temporary=$(mktemp -d {temporary}/rerun-XXXXXX) || temporary=$(mktemp -d) || exit
env -i {pairs} TMPDIR="$temporary" {command}
status=$?
rm -rf "$temporary"
# Ends as the step did, by a signal too.
[ $status -le 128 ] || {{ ulimit -c 0; kill -$((status - 128)) $$; }}
exit $status
"""


class ActionFolders:
    """Makes folders `work/<key>-…/` below the store's root, and uses them again.

    Args:
        store: Where inputs come from and outputs go.
        temporary: Where steps have their temporary files.
    """

    def __init__(self, store: Store, temporary: TemporaryFolders | None = None) -> None:
        self._store = store
        self._temporary = temporary or TemporaryFolders()
        self._work = store.root / "work"
        self._spare: list[Path] = []

    def make(self, spec: JobSpec) -> ActionFolder:
        """An empty folder for a job.

        Raises:
            StoreError: It cannot be made.
        """
        path = self._work / f"{spec.key[:16]}-{secrets.token_hex(6)}"
        with writing(self._work):
            try:
                self._spare.pop().rename(path)
            except (IndexError, FileNotFoundError):
                self._work.mkdir(parents=True, exist_ok=True)
                for part in reversed(PARTS):
                    os.mkdir(os.path.normpath(path / part), PRIVATE)
            temporary = self._temporary.make(Path(f"{path}/scratch/tmp"))
        return ActionFolder(self._store, spec, path, temporary)

    def give_back(self, folder: ActionFolder, failed: bool = False) -> None:
        """Takes a folder away, or keeps it, empty, for another action; leaves that of a failed one."""
        self._temporary.give_back(folder.temporary)
        if failed:
            return
        try:
            for part, kept in PARTS.items():
                _empty(f"{folder.path}/{part}", kept)
        except OSError:
            shutil.rmtree(folder.path, ignore_errors=True)
        else:
            self._spare.append(folder.path)

    def close(self) -> None:
        """Takes away what was kept."""
        while self._spare:
            shutil.rmtree(self._spare.pop(), ignore_errors=True)
        self._temporary.close()


class ActionFolder:
    """One folder, for one job.

    Attributes:
        path: The folder.
        inputs: Input name to the copy that the worker reads.
        outputs: Output name to the path that it writes.
        request: The request file.
        log: What the worker prints.
        pipe: What it prints to, while it runs; outside of the folder, beside `temporary`.
        telling: Where it says how far it is.
        temporary: Outside of it, by a short name: `TMPDIR` of the step. It goes when the step ends.
        resume: Outside of it: what an interrupted attempt at the same step has left, and what this one
            leaves; `None` for a step that always starts from the beginning.
    """

    def __init__(self, store: Store, spec: JobSpec, path: Path, temporary: Path) -> None:
        self._store = store
        self._spec = spec
        self.path = path
        self.temporary = temporary
        self.outputs = {o.name: Path(f"{path}/out/{o.filename}") for o in spec.outputs}
        # A worker may go by a checkpoint's suffix, so a user's file keeps it.
        self.inputs = {
            name: Path(f"{path}/in/{name}{'' if given is None else given.suffix}")
            for name, (given, _) in spec.inputs.items()
        }
        self.request = self.path / "request.json"
        self.log = self.path / "log.txt"
        # Not every file system that a store may lie on has pipes.
        self.pipe = temporary.with_name(f"{temporary.name}.log")
        self.telling = self.path / PROGRESS
        self.resume = store.root / RESUME / spec.key if spec.resumes else None

    def copy_inputs(self) -> str | None:
        """Copies the inputs in. What runs later is what was hashed, whatever is edited meanwhile.

        Returns:
            The name of a user's file that is no longer what was hashed.

        Raises:
            CorruptObject: An input in the store is missing or altered.
            StoreError: The folder cannot be written.
        """
        for name, (path, digest) in self._spec.inputs.items():
            target = self.inputs[name]
            if path is None:
                self._store.restore(digest, target, writable=False)
                continue
            try:
                with writing(self.path):
                    (_copy_tree if path.is_dir() else shutil.copy)(path, target)
                same = _digest(target) == digest
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError, shutil.Error):
                same = False
            if not same:
                return path.name
        return None

    def write_request(self) -> None:
        """Writes what the worker is asked for."""
        request: dict[str, Any] = {
            "action": str(self.path),
            **step(self._spec),
            "inputs": {n: str(p) for n, p in self.inputs.items()},
            "outputs": {n: str(p) for n, p in self.outputs.items()},
            "scratch": f"{self.path}/scratch",
            "temporary": str(self.temporary),
            "log": str(self.pipe),
            "project": str(self._spec.project) if self._spec.project else None,
            "threads": self._spec.threads,
            "memory": self._spec.room,
            "resume": str(self.resume) if self.resume else None,
        }
        with writing(self.path), open(self.request, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(request))

    def result(self) -> dict[str, Any]:
        """What the worker said of its work; empty where it did not get to that."""
        try:
            with open(f"{self.path}/result.json", "rb") as stream:
                result: dict[str, Any] = json.loads(stream.read())
        except (OSError, ValueError):
            return {}
        return result

    def store_outputs(self) -> dict[str, Stored] | str:
        """Checks and stores what was declared; a sentence when something is missing or empty."""
        for declared in self._spec.outputs:
            path = self.outputs[declared.name]
            if not path.exists():
                return f"ended well but did not write {declared.filename}"
            if (declared.kind == "tree") != path.is_dir():
                return f"wrote {declared.filename} as something else than declared"
            files = [f for _, f in tree_files(path)] if path.is_dir() else [path]
            if not any(file.stat().st_size for file in files):
                return f"ended well but left {declared.filename} empty"
        stored = self._store.put_all(list(self.outputs.values()), move=True)
        return dict(zip(self.outputs, stored, strict=True))

    def keep_log(self) -> Path:
        """Moves the log to where it outlives the folder."""
        folder = f"{self._store.root}/logs"
        kept = Path(f"{folder}/{self._spec.key[:16]}.log")
        with writing(kept):
            os.makedirs(folder, exist_ok=True)
            self.log.rename(kept)
        return kept

    def write_rerun(self, command: list[str], environment: Mapping[str, str]) -> Path:
        """A script that repeats the step by hand, in the same environment, on the same inputs."""
        listed = {n: v for n, v in environment.items() if n != "TMPDIR"}
        pairs = " ".join(shlex.quote(f"{n}={v}") for n, v in sorted(listed.items()))
        script = self.path / "rerun.sh"
        with writing(script):
            script.write_text(
                RERUN.format(
                    scratch=shlex.quote(str(self.path / "scratch")),
                    temporary=shlex.quote(str(self.temporary.parent.parent)),
                    pairs=pairs,
                    command=shlex.join(command),
                )
            )
            script.chmod(0o755)
        return script


def step(spec: JobSpec) -> dict[str, Any]:
    """What a worker's environment must know of a step to import what that needs."""
    worker = spec.worker
    told: dict[str, Any] = {
        "backends": str(BUILT_IN),
        "backend": worker.backend,
        "worker": worker.function,
        "options": spec.options,
    }
    if worker.folder is not None and worker.folder.parent != BUILT_IN:
        told["folder"] = str(worker.folder)
    if worker.backend is None:
        told["packages"] = _packages()
    return told


@cache
def _packages() -> str:
    """The folder of numpy, which a worker may not find where it was installed for this user alone."""
    found = importlib.util.find_spec("numpy")
    assert found is not None and found.origin is not None  # noqa: PT018
    return str(Path(found.origin).parents[1])


def _empty(folder: str, kept: Collection[str]) -> None:
    """Removes what a worker left in one of the folders, which must still be what it was.

    Raises:
        OSError: It is not, or something cannot be removed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != PRIVATE:
            raise PermissionError(folder)
        with os.scandir(descriptor) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_folder in found:
            if not is_folder:
                os.unlink(name, dir_fd=descriptor)
            elif name not in kept:
                shutil.rmtree(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _copy_tree(folder: Path, target: Path) -> None:
    """Copies what the digest covers, and no empty folder: a worker might take that for a class."""
    target.mkdir()
    for name, file in tree_files(folder, links=True):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)


def _digest(path: Path) -> str:
    if not path.is_dir():
        return hash_file(path)
    rows = [(n, hash_file(f), f.stat().st_size) for n, f in tree_files(path)]
    return tree_digest(tree_manifest(rows))
