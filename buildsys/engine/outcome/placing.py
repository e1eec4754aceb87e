"""Puts artifacts where the user looks for them, and takes away what must not lie there.

`artifacts/<target>/` only ever holds what the last build of that deployable shipped: what was
rejected goes to `artifacts/.rejected/<target>/`, what failed or left the recipe is removed. What
was put there is remembered in `artifacts/.placed.json`, so nothing of the user's own is touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.planner.graph import Deployable
from buildsys.store import Memo, Store, StoreError
from buildsys.store.content import writing
from buildsys.store.inventory import LOCKS, RECORD
from buildsys.toolchains.file_lock import exclusive

REJECTED = ".rejected"


class Placing:
    """The folder of artifacts.

    Args:
        folder: Where artifacts go.
        owner: The recipe's path relative to the folder: several may share it.
        store: Where artifacts come from.
        memo: Digests of what lies there.
    """

    def __init__(self, folder: Path, owner: str, store: Store, memo: Memo) -> None:
        self.folder = folder
        self._owner = owner
        self._store = store
        self._memo = memo

    def path(self, deployable: Deployable, status: Status) -> Path | None:
        """Where an artifact with this status lies."""
        name = _name(deployable, status)
        return None if name is None else self.folder / name

    def place(
        self,
        verdicts: Sequence[Verdict],
        labels: Iterable[str],
        on_wait: Callable[[str], None],
    ) -> None:
        """Makes the folder agree with the verdicts; writes nothing where it does already.

        Args:
            verdicts: The build's verdicts.
            labels: Every label of the recipe: what is remembered under another one is removed.
            on_wait: Called with the name of another build that is placing artifacts there.

        Raises:
            CorruptObject: A stored artifact is damaged.
            StoreError: The folder cannot be written.
        """
        labels = list(labels)
        with writing(self.folder):
            if self._agrees(verdicts, labels):
                return
            locks = self._store.root / LOCKS
            locks.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256(str(self.folder.absolute()).encode()).hexdigest()[:16]
            with exclusive(locks / f"placing-{name}", on_wait):
                self._place(verdicts, labels)

    @staticmethod
    def _after(
        placed: dict[str, str], verdicts: Sequence[Verdict], labels: list[str]
    ) -> dict[str, str]:
        """The record as it is to be: label to path."""
        wanted = {label: placed[label] for label in labels if label in placed}
        for verdict in verdicts:
            name = _name(verdict.deployable, verdict.status)
            if name is not None and verdict.artifact is not None:
                wanted[verdict.deployable.label] = name
            else:
                wanted.pop(verdict.deployable.label, None)
        return dict(sorted(wanted.items()))

    def _strays(self, verdicts: Sequence[Verdict], keep: Collection[str]) -> Iterator[str]:
        """Artifacts that lie there and must not, whatever the record says."""
        folder = str(self.folder)
        for verdict in verdicts:
            for status in (Status.VERIFIED, Status.REJECTED):
                name = _name(verdict.deployable, status)
                if name not in keep and os.path.lexists(f"{folder}/{name}"):
                    yield f"{folder}/{name}"

    def _agrees(self, verdicts: Sequence[Verdict], labels: list[str]) -> bool:
        everything = self._read()
        placed = everything.get(self._owner, {})
        after = self._after(placed, verdicts, labels)
        if placed != after:
            return False
        keep = {name for record in everything.values() for name in record.values()}
        if any(self._strays(verdicts, keep)):
            return False
        return all(
            verdict.artifact is None
            or self._memo.placed(f"{self.folder}/{after[verdict.deployable.label]}")
            == verdict.artifact.digest
            for verdict in verdicts
            if verdict.deployable.label in after
        )

    def _place(self, verdicts: Sequence[Verdict], labels: list[str]) -> None:
        everything = self._read()
        placed = everything.get(self._owner, {})
        after = self._after(placed, verdicts, labels)
        others = self._others(everything)
        keep = set(after.values()) | others.keys()
        for label, name in after.items():
            if name in others:
                raise StoreError(
                    f"{self.folder / name} is of another recipe, {others[name]}, and `{label}` as well",
                    "give one of the recipes another `--out`, or its deployable a `name`",
                )
        # A killed build leaves nothing that the next one does not know of: the record comes first.
        during = everything | {self._owner: placed | after}
        self._write(during, known=everything)
        old = [f"{self.folder}/{name}" for name in placed.values() if name not in keep]
        for path in [*self._strays(verdicts, keep), *old]:
            self._remove(Path(path))
        wanted = {
            self.folder / after[verdict.deployable.label]: verdict.artifact.digest
            for verdict in verdicts
            if verdict.deployable.label in after and verdict.artifact is not None
        }
        for folder in {target.parent for target in wanted}:
            for left in folder.glob(".new-*"):  # By a build that was killed: the lock is ours.
                shutil.rmtree(left, ignore_errors=True)
        with ExitStack() as stack:
            fresh: dict[Path, Path] = {}
            for target, digest in wanted.items():
                if self._memo.placed(target) == digest:
                    continue
                beside = target.parent
                if beside not in fresh:
                    beside.mkdir(parents=True, exist_ok=True)
                    fresh[beside] = Path(tempfile.mkdtemp(prefix=".new-", dir=beside))
                    stack.callback(shutil.rmtree, fresh[beside], ignore_errors=True)
                self._restore(digest, target, fresh[beside])
        self._write(everything | {self._owner: after}, known=during)

    def _others(self, everything: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """What other recipes have placed here: path to recipe. One that is gone claims nothing."""
        return {
            name: owner
            for owner, placed in everything.items()
            if owner != self._owner and (self.folder / owner).exists()
            for name in placed.values()
        }

    def _restore(self, digest: str, path: Path, beside: Path) -> None:
        fresh = beside / path.name
        self._store.restore(digest, fresh)
        self._swap(fresh, path)
        self._memo.placed(path)  # Known from now on: the next build need not hash it.

    @staticmethod
    def _swap(fresh: Path, path: Path) -> None:
        """Puts `fresh` in the place of `path`; a folder cannot be replaced in one step by rename."""
        if path.is_dir() and not path.is_symlink():
            path.rename(fresh.with_name(f"{path.name}.old"))
        elif fresh.is_dir() and (path.exists() or path.is_symlink()):
            path.unlink()
        fresh.rename(path)

    def _read(self) -> dict[str, dict[str, str]]:
        """What was placed: recipe to label to path; nothing that lies outside of the folder."""
        try:
            record = json.loads((self.folder / RECORD).read_text())
            rows = [(o, label, n) for o, names in record.items() for label, n in names.items()]
        except (OSError, ValueError, AttributeError):
            return {}
        inside = os.path.realpath(self.folder)
        found: dict[str, dict[str, str]] = {}
        resolved: dict[str, str] = {}
        for owner, label, name in rows:
            if _lies_in(inside, str(name), resolved):
                found.setdefault(str(owner), {})[str(label)] = str(name)
        return found

    def _write(self, record: dict[str, dict[str, str]], known: dict[str, dict[str, str]]) -> None:
        if record != known:
            write_text(self.folder / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")

    def _remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        for parent in (path.parent, path.parent.parent):
            if parent != self.folder and parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def _name(deployable: Deployable, status: Status) -> str | None:
    """Where an artifact with this status lies in the folder."""
    name = f"{deployable.target}/{deployable.filename}"
    if status.shipped:
        return name
    return f"{REJECTED}/{name}" if status is Status.REJECTED else None


def _lies_in(folder: str, name: str, resolved: dict[str, str]) -> bool:
    """Whether a path is one of something in a folder, with all links followed.

    Args:
        folder: With all links followed.
        name: The path, from the folder.
        resolved: Folders that were looked at already, and where they lead; it grows.
    """
    parent, last = os.path.split(os.path.join(folder, name))
    if parent not in resolved:
        resolved[parent] = os.path.realpath(parent)
    path = os.path.join(resolved[parent], last)
    if last in ("", ".", "..") or os.path.islink(path):
        path = os.path.realpath(path)
    return path.startswith(folder.rstrip(os.sep) + os.sep) and path != folder


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
