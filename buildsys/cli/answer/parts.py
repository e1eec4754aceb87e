"""Which component of a graph each file belongs to that a build looked at.

A file belongs to a component if only its actions read it, or only its deployables are made of it. All other
files are common: the recipe, the program, environments, code and data that several components read.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from buildsys.engine.run import Run
from buildsys.planner.graph import ActionGraph, FileInput
from buildsys.toolchains.inside.program import PRESENCE
from buildsys.validity import Stat, Unknown

COMMON = -1


class Parts:
    """The components of a graph, and whose each file is.

    Args:
        project: The folder that discovered files are relative to.
    """

    def __init__(self, project: Path) -> None:
        self._project = str(project)
        self._components: list[ActionGraph] = []
        self._owners: dict[str, int] = {}
        self._folders: set[str] = set()

    def add(
        self, component: ActionGraph, run: Run, stored: Iterable[str], placed: Collection[str]
    ) -> None:
        """Adds a component, with the files that its actions read.

        Args:
            component: The component.
            run: What its actions gave.
            stored: The stored files that its verdicts need.
            placed: Where its artifacts lie.
        """
        number = len(self._components)
        self._components.append(component)
        self._folders.update(filter(os.path.isdir, placed))
        for path in (*self._read(component, run), *stored, *placed):
            if self._owners.setdefault(path, number) != number:
                self._owners[path] = COMMON

    def _read(self, component: ActionGraph, run: Run) -> Iterator[str]:
        for action in component.actions.values():
            for given in action.inputs.values():
                if isinstance(given, FileInput):
                    path = os.fspath(given.path)
                    if os.path.isdir(path):
                        self._folders.add(path)
                    yield path
            trace = run.trace(action.id)
            if trace is not None and action.user_code:
                for name in (
                    *trace.manifest.get("discovered", ()),
                    *trace.manifest.get("files", ()),
                ):
                    yield os.path.join(self._project, name.partition(PRESENCE)[0])

    def record(self, files: Mapping[str, Stat], common: Collection[str]) -> dict[str, Any]:
        """The files, common ones first, then each component's, with where these begin.

        Args:
            files: All that was looked at, with stats.
            common: Paths that are nobody's, whoever reads them.
        """
        return _record(
            *self._sorted(files, common), [self._about(each) for each in self._components]
        )

    def merged(
        self,
        files: Mapping[str, Stat],
        common: Collection[str],
        before: Mapping[str, Any],
        changed: Collection[int],
        written: Collection[str],
    ) -> dict[str, Any]:
        """An earlier record with these components in the place of some of its own.

        Args:
            files: All that was looked at now, with stats.
            common: Paths that are nobody's, whoever reads them.
            before: The earlier record.
            changed: Which of its components these are.
            written: Paths that the command itself writes.

        Raises:
            Unknown: A file that others depend on has changed meanwhile: they were not looked at.
        """
        shared, own = self._sorted(files, common)
        rows, starts = list(before["files"].items()), [start for start, _, _ in before["parts"]]
        ends = [*starts[1:], len(rows)]
        old_shared = dict(rows[: starts[0]])
        kept = [n for n in range(len(starts)) if n not in changed]
        others = [dict(rows[starts[n] : ends[n]]) for n in kept]
        for each in (old_shared, *others):
            for path in each.keys() & files.keys():
                if each[path] != files[path] and path not in written:
                    raise Unknown
        for files_of_one in own:
            for path in list(files_of_one):
                # What others read as well, or did the last time, stays common.
                if path in old_shared or any(path in each for each in others):
                    shared[path] = files_of_one.pop(path)
        for each in others:
            for path in each.keys() & shared.keys():
                del each[path]
        about = [before["parts"][n][1:] for n in kept] + [self._about(c) for c in self._components]
        return _record(old_shared | shared, others + own, about)

    def _sorted(
        self, files: Mapping[str, Stat], common: Collection[str]
    ) -> tuple[dict[str, Stat], list[dict[str, Stat]]]:
        shared: dict[str, Stat] = {}
        own: list[dict[str, Stat]] = [{} for _ in self._components]
        for path, stat in files.items():
            owner = COMMON if path in common else self._owner(path)
            (shared if owner == COMMON else own[owner])[path] = stat
        return shared, own

    def _owner(self, path: str) -> int:
        found = {self._owners[path]} if path in self._owners else set()
        if self._folders:
            above = os.path.dirname(path)
            while len(above) > 1:
                if above in self._folders:
                    found.add(self._owners[above])
                above = os.path.dirname(above)
        return found.pop() if len(found) == 1 else COMMON

    @staticmethod
    def _about(component: ActionGraph) -> list[Any]:
        return [[each.label for each in component.deployables], len(component.actions)]


def _record(
    shared: Mapping[str, Stat], own: Iterable[Mapping[str, Stat]], about: Iterable[Any]
) -> dict[str, Any]:
    files, parts = dict(shared), []
    for files_of_one, said in zip(own, about, strict=True):
        parts.append([len(files), *said])
        files.update(files_of_one)
    return {"files": files, "parts": parts}
