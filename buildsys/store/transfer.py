"""Copies objects from another place into the store. No byte is kept that its digest does not vouch for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterable

from buildsys.store.content import (
    FILE,
    TREE,
    CorruptObject,
    Rows,
    Store,
    Stored,
    named,
    parsed,
    writing,
)
from buildsys.store.objects import Objects

CHANGED, MISSING = "its bytes have changed", "missing"
MANIFEST_BYTES = 256 << 20
"""The largest manifest that is read: it is held in memory until its files are there."""


def pull(store: Store, place: Objects, wanted: Collection[Stored]) -> dict[str, str]:
    """Brings objects from a place into the store: with one call for all manifests, and one for all files.

    A folder's manifest is kept only once all of its files are, so a killed pull leaves no half folder.

    Returns:
        The objects that did not come: digest to why.

    Raises:
        StoreError: The store cannot be written.
        OSError: The place cannot be read.
    """
    absent = [each.digest for each in store.missing(wanted)]
    trees = [digest for digest in absent if digest.startswith(TREE)]
    manifests, problems = _manifests(place, trees)
    needed: dict[str, set[str]] = {d: {named(d)} for d in absent if d.startswith(FILE)}
    sizes: dict[str, int | None] = {named(digest): None for digest in needed}
    for digest, (_, rows) in manifests.items():
        needed[digest] = {named(member) for _, member, _ in rows}
        sizes.update({named(member): size for _, member, size in rows})
    names = sizes.keys() - store.objects.has(sizes)
    changed: set[str] = set()
    with writing(store.root):
        if names:
            changed = store.objects.put(place.fetch(names))
        there = store.objects.has(sizes)
        for digest, parts in needed.items():
            if not parts <= there:
                problems[digest] = MISSING if changed.isdisjoint(parts) else CHANGED
        whole = [(d, manifest) for d, (manifest, _) in manifests.items() if d not in problems]
        if whole:
            store.objects.put((named(d), io.BytesIO(manifest)) for d, manifest in whole)
    return problems


def _manifests(
    place: Objects, trees: Collection[str]
) -> tuple[dict[str, tuple[bytes, Rows]], dict[str, str]]:
    """The manifests of folders and what they say, by digest, and what is wrong with the others."""
    found: dict[str, tuple[bytes, Rows]] = {}
    problems = dict.fromkeys(trees, MISSING)
    for digest, manifest in _read(place, trees):
        try:
            if TREE + hashlib.sha256(manifest).hexdigest() != digest:
                raise CorruptObject(digest, CHANGED)
            rows = parsed(digest, manifest)
        except CorruptObject as error:
            problems[digest] = error.reason
        else:
            found[digest] = manifest, rows
            del problems[digest]
    return found, problems


def _read(place: Objects, trees: Collection[str]) -> Iterable[tuple[str, bytes]]:
    by_name = {named(digest): digest for digest in trees}
    if by_name:
        for name, stream in place.fetch(by_name):
            with stream:
                yield by_name[name], stream.read(MANIFEST_BYTES)
