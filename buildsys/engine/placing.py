"""Puts artifacts where the user looks for them, and takes away what must not lie there.

`artifacts/<target>/` only ever holds what the last build of that deployable shipped: what was
rejected goes to `artifacts/.rejected/<target>/`, what failed or left the recipe is removed. What
was put there is remembered in `artifacts/.placed.json`, so nothing of the user's own is touched.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from buildsys.engine.verdicts import Status, Verdict
from buildsys.planner.graph import Deployable
from buildsys.store import Memo, Store
from buildsys.store.content import writing

REJECTED = ".rejected"
RECORD = ".placed.json"


class Placing:
    """The folder of artifacts of one recipe."""

    def __init__(self, folder: Path, store: Store, memo: Memo) -> None:
        self.folder = folder
        self._store = store
        self._memo = memo

    def path(self, deployable: Deployable, status: Status) -> Path | None:
        """Where an artifact with this status lies."""
        name = Path(deployable.target, deployable.filename)
        if status.shipped:
            return self.folder / name
        return self.folder / REJECTED / name if status is Status.REJECTED else None

    def place(self, verdicts: Iterable[Verdict], labels: Iterable[str]) -> None:
        """Makes the folder agree with the verdicts; writes nothing where it does already.

        Args:
            verdicts: What the build came to.
            labels: Every label of the recipe: what is remembered under another one is removed.

        Raises:
            CorruptObject: A stored artifact is damaged.
            StoreError: The folder cannot be written.
        """
        placed = self._read()
        wanted: dict[str, str | None] = {label: placed.get(label) for label in labels}
        for verdict in verdicts:
            path = self.path(verdict.deployable, verdict.status)
            if path is not None and verdict.artifact is not None:
                self._restore(verdict.artifact.digest, path)
                wanted[verdict.deployable.label] = path.relative_to(self.folder).as_posix()
            else:
                wanted[verdict.deployable.label] = None
        keep = {name for name in wanted.values() if name is not None}
        with writing(self.folder):
            for name in placed.values():
                if name not in keep:
                    self._remove(self.folder / name)
            self._write({label: name for label, name in sorted(wanted.items()) if name})

    def _restore(self, digest: str, path: Path) -> None:
        if self._memo.of(path) == digest:
            return
        with writing(self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent)) / path.name
        try:
            self._store.restore(digest, fresh)
            with writing(self.folder):
                self._swap(fresh, path)
            self._memo.of(path)  # Known from now on: the next build need not hash it.
        finally:
            shutil.rmtree(fresh.parent, ignore_errors=True)

    @staticmethod
    def _swap(fresh: Path, path: Path) -> None:
        """Puts `fresh` in the place of `path`; a folder cannot be replaced in one step by rename."""
        if path.is_dir() and not path.is_symlink():
            path.rename(fresh.with_name(".old"))
        elif fresh.is_dir() and (path.exists() or path.is_symlink()):
            path.unlink()
        fresh.rename(path)

    def _read(self) -> dict[str, str]:
        try:
            record = json.loads((self.folder / RECORD).read_text())
        except (OSError, ValueError):
            return {}
        inside = self.folder.resolve()
        return {
            str(label): str(name)
            for label, name in record.items()
            if (inside / str(name)).resolve().is_relative_to(inside)
        }

    def _write(self, record: dict[str, str]) -> None:
        write_text(self.folder / RECORD, json.dumps(record, indent=1) + "\n")

    def _remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        for parent in (path.parent, path.parent.parent):
            if parent != self.folder and parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def write_text(path: Path, text: str) -> None:
    """Writes a small file atomically, and not at all where it holds just that already."""
    try:
        if path.read_text() == text:
            return
    except OSError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        Path(name).chmod(0o644)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
