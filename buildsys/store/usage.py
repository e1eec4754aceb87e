"""What the cache holds, by what holds it there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from buildsys.store.content import RESUME, Store
from buildsys.store.index import Index
from buildsys.store.inventory import Inventory, live_builds, pinned


@dataclass(frozen=True)
class Group:
    """Some files: how many, and their bytes."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Usage:
    """What the cache holds.

    Attributes:
        pinned: Files that lie in artifacts' folders or bundles, or that their verdicts need.
        leased: Files that running builds use or have just put.
        results: Other files that traces name.
        unreferenced: Files that nothing names.
        logs: Logs of steps.
        leftovers: Folders of failed steps, and what killed and interrupted ones left.
        interrupted: Of these, what interrupted steps are taken up from.
        toolchains: By folder name.
        index: Bytes of the index, and of what is kept to answer quickly.
        traces: How many actions' results are known.
        builds: How many builds run now.
    """

    pinned: Group
    leased: Group
    results: Group
    unreferenced: Group
    logs: Group
    leftovers: Group
    interrupted: Group
    toolchains: dict[str, Group]
    index: int
    traces: int
    builds: int

    @property
    def stored(self) -> Group:
        """All stored files: what the limit is about."""
        groups = (self.pinned, self.leased, self.results, self.unreferenced)
        return Group(sum(g.files for g in groups), sum(g.bytes for g in groups))


def usage(root: Path, store: Store, index: Index, toolchains: Path) -> Usage:
    """Looks at a cache, and changes nothing.

    Args:
        root: The store's folder.
        store: Its files.
        index: Its index.
        toolchains: Where environments are.
    """
    inventory = Inventory(store)
    live = live_builds(root, index)
    held = inventory.names(pinned(index))
    leased = inventory.names(index.leased()) | inventory.young(live) if live else set()
    traces = index.all_traces()
    known = {name for trace in traces for name in inventory.outputs(trace)}

    def group(names: set[str]) -> Group:
        there = names & inventory.files.keys()
        return Group(len(there), inventory.total(there))

    return Usage(
        pinned=group(held),
        leased=group(leased - held),
        results=group(known - held - leased),
        unreferenced=group(inventory.files.keys() - held - leased - known),
        logs=_weight(root.glob("logs/*")),
        leftovers=_weight(
            [*root.glob("work/*"), *root.glob(f"{RESUME}/*"), *store.objects.temporaries()]
        ),
        interrupted=_weight(root.glob(f"{RESUME}/*")),
        toolchains=_environments(toolchains),
        index=_weight(
            [*root.glob("index.sqlite*"), *root.glob("answers"), *root.glob("graphs")]
        ).bytes,
        traces=len(traces),
        builds=len(live),
    )


def _weight(paths: Iterable[Path], seen: set[tuple[int, int]] | None = None) -> Group:
    """What files and folders take on the disk; a file with several names counts once."""
    seen = set() if seen is None else seen
    files = size = 0
    todo = list(paths)
    while todo:
        path = todo.pop()
        try:
            information = path.lstat()
            if path.is_dir() and not path.is_symlink():
                todo += path.iterdir()
                continue
        except OSError:
            continue  # Gone meanwhile, or not ours to look into.
        identity = (information.st_dev, information.st_ino)
        if identity not in seen:
            seen.add(identity)
            files += 1
            size += information.st_blocks * 512
    return Group(files, size)


def _environments(folder: Path) -> dict[str, Group]:
    seen: set[tuple[int, int]] = set()
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return {}
    return {p.name: _weight([p], seen) for p in inside if p.name not in ("logs", "locks")}
