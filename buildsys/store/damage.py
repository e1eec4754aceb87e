"""Stored files that are not what their names say, and whose outputs they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from buildsys.store.content import FILE, Store, hash_file, named, writing
from buildsys.store.index import Index, Trace
from buildsys.store.inventory import Inventory
from buildsys.store.local import File


@dataclass(frozen=True)
class Maker:
    """An action whose output a file is.

    Attributes:
        rule: Its rule.
        places: Where it stands: `<project>:<label or model>#<rule>`; none for one of the past.
    """

    rule: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Damage:
    """A stored object that is not what its name says.

    Attributes:
        digest: The object.
        problem: What is wrong with it.
        makers: The actions that it is an output of.
        places: The artifacts' folders and bundles that hold it.
        repaired: Whether it has been taken out, so that a build makes it again.
    """

    digest: str
    problem: str
    makers: tuple[Maker, ...] = ()
    places: tuple[str, ...] = ()
    repaired: bool = False


def verify(store: Store, index: Index, *, repair: bool = False) -> list[Damage]:
    """Hashes every stored file, and says which are not what their names say.

    A trace whose files are gone is none of it: that is how a collection leaves things.

    Args:
        store: The files.
        index: What made them.
        repair: Whether to take damaged ones out. A build makes them again when it needs them.

    Raises:
        StoreError: A damaged file cannot be taken out.
    """
    inventory = Inventory(store)
    traces, pins = index.all_traces(), index.pins()
    concerned = _Concerned(inventory, traces, pins, index.places())
    problems = {**_altered(store, inventory), **_incomplete(store, inventory, traces, pins)}
    found = [concerned.damage(digest, problem) for digest, problem in problems.items()]
    return [_repaired(damage, store, inventory) for damage in found] if repair else found


def _altered(store: Store, inventory: Inventory) -> dict[str, str]:
    """What is wrong with the bytes of files, by digest."""

    def problem(file: File) -> str | None:
        digest = FILE + file.name
        try:
            return (
                None
                if hash_file(store.objects.path(file.name)) == digest
                else "its bytes have changed"
            )
        except FileNotFoundError:
            return None  # Collected meanwhile.
        except OSError as error:
            return f"cannot be read: {error.strerror}"

    files = list(inventory.files.values())
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Hashing lets other threads run.
        found = zip(files, pool.map(problem, files), strict=True)
        return {FILE + file.name: said for file, said in found if said is not None}


def _incomplete(
    store: Store, inventory: Inventory, traces: Iterable[Trace], pins: Mapping[str, set[str]]
) -> dict[str, str]:
    """Folders with missing files, and what should be kept for an artifact and is not there.

    What the list of files does not have may have been stored since it was made.
    """
    held = {digest for digests in pins.values() for digest in digests}
    made = {output.digest for trace in traces for output in trace.outputs.values()}
    unlisted = inventory.names(held | made) - inventory.files.keys()
    there = inventory.files.keys() | store.objects.has(dict.fromkeys(unlisted))
    found = {}
    for digest in sorted(held | made):
        if named(digest) not in inventory.files:
            if digest in held and named(digest) not in there:
                found[digest] = "is missing"
            continue
        members = inventory.members(digest)
        missing = [name for name in members if name not in there]
        if missing:
            found[digest] = f"{len(missing)} of its {len(members)} files are missing"
    return found


def _repaired(damage: Damage, store: Store, inventory: Inventory) -> Damage:
    file = inventory.files.get(named(damage.digest))
    with writing(store.root):
        return replace(damage, repaired=file is None or store.objects.take_out(file))


class _Concerned:
    """Who made a stored object, and who holds it."""

    def __init__(
        self,
        inventory: Inventory,
        traces: Iterable[Trace],
        pins: Mapping[str, set[str]],
        places: Mapping[str, list[str]],
    ) -> None:
        self._places = places
        self._makers: dict[str, list[Trace]] = {}
        self._holders: dict[str, set[str]] = {}
        for trace in traces:
            for name in inventory.outputs(trace):
                self._makers.setdefault(name, []).append(trace)
        for place, digests in pins.items():
            for name in inventory.names(digests):
                self._holders.setdefault(name, set()).add(place)

    def damage(self, digest: str, problem: str) -> Damage:
        """What is wrong with an object, and whom that concerns."""
        name = named(digest)
        makers = {
            Maker(str(trace.manifest.get("rule", "?")), tuple(self._places.get(trace.key, ())))
            for trace in self._makers.get(name, ())
        }
        ordered = sorted(makers, key=lambda maker: (maker.places, maker.rule))
        return Damage(digest, problem, tuple(ordered), tuple(sorted(self._holders.get(name, ()))))
