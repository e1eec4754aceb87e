"""Plan and build of one recipe against one store: what the CLI and the Python API call."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

import platformdirs

from buildsys.engine import graph_cache
from buildsys.engine.engine import Engine, Project, needed
from buildsys.engine.environments import Environments
from buildsys.engine.graph_cache import PlannedGraph
from buildsys.engine.listener import Listener, ignore
from buildsys.engine.run import Settings
from buildsys.engine.staleness.positions import Positions
from buildsys.engine.unchanged import Unchanged
from buildsys.recipe.finding import absolute
from buildsys.store import DamagedIndex, StoreError
from buildsys.store.inventory import BUNDLE
from buildsys.toolchains import Provisioner

if TYPE_CHECKING:
    from buildsys.engine.executors.executor import Executor
    from buildsys.engine.results import Build, Plan
    from buildsys.planner.catalog import Catalog
    from buildsys.planner.choices.choosing import Question
    from buildsys.planner.graph import ActionGraph
    from buildsys.recipe import Outline, Recipe

CACHE_VARIABLE = "MODELBUILD_CACHE"
TOOLCHAINS_VARIABLE = "MODELBUILD_TOOLCHAINS"


def cache_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the store and the toolchains live: `MODELBUILD_CACHE`, or the platform's user cache."""
    given = environ.get(CACHE_VARIABLE)
    return Path(given).absolute() if given else platformdirs.user_cache_path("modelbuild")


def toolchains_root(root: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Where toolchains live: `MODELBUILD_TOOLCHAINS`, or a folder of the store."""
    given = environ.get(TOOLCHAINS_VARIABLE)
    return Path(given).absolute() if given else root / "toolchains"


class Session:
    """One recipe, one store; a context manager that closes the index.

    Attributes:
        root: The store's folder.
        provisioner: Makes environments.
        environments: Where steps run.
        engine: Brings graphs up to date.

    Args:
        recipe: What to build, or a graph that an earlier command planned of it.
        catalog: All backends; loaded once they are asked for.
        root: The store's folder; default: `cache_root()`.
        salt: Mixed into every key, to force a build of its own.
        offline: Whether toolchains that are missing are made without the network.
        executor: Runs actions; worker processes on this machine by default.
        max_size: Bytes of stored files above which the least recently used are removed at the end of
            a build; `None` for no limit.
        started: When the command began (POSIX nanoseconds), for one whose graph is kept for later ones.
    """

    def __init__(
        self,
        recipe: Recipe | PlannedGraph,
        catalog: Catalog | None = None,
        *,
        root: Path | None = None,
        salt: str = "",
        offline: bool = False,
        executor: Executor | None = None,
        max_size: int | None = None,
        started: int | None = None,
    ) -> None:
        self._planned = recipe if isinstance(recipe, PlannedGraph) else None
        self._recipe = None if isinstance(recipe, PlannedGraph) else recipe
        self._started = started
        self._max_size = max_size
        if catalog is not None:
            self.catalog = catalog
        self.root = root or cache_root()
        planned = self._planned
        self.provisioner = Provisioner(
            toolchains_root(self.root),
            planned.toolchains if planned is not None else self.catalog.toolchains,
            self.outline.locks,
            offline=offline,
        )
        self.environments = Environments(self.provisioner)
        self.engine = Engine(self.root, self.environments, executor=executor, salt=salt)

    @classmethod
    def open(
        cls,
        path: Path,
        selectors: Sequence[str],
        *,
        offline: bool = False,
        max_size: int | None = None,
        unchanged: Unchanged | None = None,
    ) -> Session:
        """A session for a recipe's file and selectors, on the user's store.

        Where an earlier command planned the same, and nothing that planning looks at has changed, the recipe
        is not read, and a build may leave out what is `unchanged`.

        Raises:
            RecipeError: The recipe is wrong.
        """
        started = time.time_ns()
        planned = graph_cache.recall(cache_root(), absolute(path), selectors, unchanged)
        if planned is not None:
            return cls(planned, offline=offline, max_size=max_size)
        catalog = load_catalog()
        graph_cache.recall_routes(cache_root(), catalog)
        recipe = open_recipe(path, catalog)
        return cls(recipe, catalog, offline=offline, max_size=max_size, started=started)

    @cached_property
    def catalog(self) -> Catalog:
        """All backends."""
        return load_catalog()

    @property
    def recipe(self) -> Recipe:
        """What to build."""
        if self._recipe is None:
            self._recipe = open_recipe(self.outline.path, self.catalog)
        return self._recipe

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        # Another one than its file says: what is planned of it is for this command alone.
        self._recipe, self._planned, self._started = recipe, None, None

    @property
    def outline(self) -> Outline:
        """What to build, in outline."""
        return self._planned.outline if self._planned is not None else self.recipe.outline

    @property
    def planned_from(self) -> Iterable[str]:
        """The paths that planning read."""
        now = graph_cache.sources(self.outline, self.backend_folders)
        return now if self._planned is None else {*self._planned.sources, *now}

    @property
    def backend_folders(self) -> tuple[Path, ...]:
        """The folders of all backends."""
        if self._planned is not None:
            return self._planned.backends
        return graph_cache.backends_of(self.catalog)

    def asks_machine(self, graph: ActionGraph) -> bool:
        """Whether a rule or a runtime looks at this machine by itself: no stat tells of that."""
        if self._planned is not None:
            return False
        from buildsys.planner.machine import asks_machine

        return asks_machine(self.catalog, graph)

    def __enter__(self) -> Session:
        self.engine.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.__exit__(kind, error, trace)

    def project(self, out: Path | None = None) -> Project:
        """The recipe as the engine knows it.

        Args:
            out: Where artifacts go; default: `artifacts/` beside the recipe.
        """
        outline = self.outline
        artifacts = (out or outline.folder / "artifacts").absolute()
        return Project(
            outline.project, outline.folder, os.path.relpath(outline.path, artifacts), artifacts
        )

    def unsettled(self, selectors: Sequence[str] = (), *, again: bool = False) -> list[Question]:
        """The searches of the selected deployables that have no choice.

        Args:
            selectors: Targets, labels or globs; all deployables where there is none.
            again: Whether to search again where a choice exists.

        Raises:
            NoMatch: A selector matches nothing.
            RecipeError: The lock cannot be read.
        """
        if self._reusable(selectors) is not None and not again:
            return []
        from buildsys.planner.choices.choosing import unsettled

        return unsettled(self.recipe, self.catalog, selectors, again=again)

    def _reusable(self, selectors: Sequence[str]) -> PlannedGraph | None:
        """What an earlier command planned, if it was for these selectors."""
        planned = self._planned
        return planned if planned is not None and tuple(selectors) == planned.selectors else None

    def graph(self, selectors: Sequence[str] = ()) -> ActionGraph:
        """The actions for the selected deployables.

        Raises:
            RecipeError: A deployable has no route.
            NoMatch: A selector matches nothing.
        """
        planned = self._reusable(selectors)
        if planned is not None:
            return planned.graph
        from buildsys.planner.planning import make_graph

        known = len(self.catalog.routes)
        graph = make_graph(self.recipe, self.catalog, selectors)
        started = self._started
        if started is not None and len(self.catalog.routes) > known:
            graph_cache.remember_routes(self.root, self.catalog, started)
        if started is not None and not self.asks_machine(graph) and not self.unsettled(selectors):
            graph_cache.remember(self.root, self.recipe, self.catalog, selectors, graph, started)
        return graph

    def plan(self, selectors: Iterable[str] = ()) -> Plan:
        """What a build would do. Runs nothing; only digests of files are memoised.

        A search that would run counts as one candidate: how many more it takes, only it finds out.
        """
        from buildsys.engine.planning import plan

        chosen = tuple(selectors)

        def planned() -> Plan:
            searches = {each.entry.label: each for each in self.unsettled(chosen)}
            graph = self._graph_of_one(searches, chosen) if searches else self.graph(chosen)
            positions = Positions(self.outline, lambda: self.recipe, graph)
            return plan(self.engine, graph, self.project(), positions, searches)

        return self.engine.mended(planned, lambda _: None)

    def _graph_of_one(
        self, searches: Mapping[str, Question], selectors: Sequence[str]
    ) -> ActionGraph:
        """The actions with one candidate of each search: what all have in common is planned with it."""
        from buildsys.planner.choices.choosing import choose
        from buildsys.planner.planning import make_graph

        recipe = self.recipe
        for label, question in searches.items():
            recipe = choose(recipe, label, question.candidates.taken[0])
        return make_graph(recipe, self.catalog, selectors)

    def build(
        self,
        selectors: Sequence[str] = (),
        *,
        settings: Settings | None = None,
        out: Path | None = None,
        strict: bool = False,
        listener: Listener = ignore,
    ) -> Build:
        """Brings the selected deployables up to date, judges them, and places them.

        Args:
            selectors: Targets, labels or globs; all deployables where there is none.
            settings: How to run.
            out: Where artifacts go; default: `artifacts/` beside the recipe.
            strict: Whether a deployable is an error that is unverified, or whose inputs are not fully
                known.
            listener: Receives the build's events.

        Raises:
            RecipeError: A deployable has no route.
            NoMatch: A selector matches nothing.
            StoreError: The store or the artifacts' folder cannot be written.
        """
        from buildsys.engine.project_build import build

        planned = self._reusable(selectors)
        return build(
            self.engine,
            self.project(out),
            lambda: self.graph(selectors),
            (self.outline, lambda: self.recipe),
            settings or Settings(),
            strict,
            self._max_size,
            listener,
            planned.unchanged if planned is not None else None,
        )

    def pin(self, bundle: Path, build: Build) -> None:
        """Keeps what a bundle holds from being collected, as long as it lies where it was written."""
        digests: set[str] = set()
        for verdict in build.verdicts:
            digests |= needed(verdict.deployable, build.run)
        place = f"{BUNDLE}:{bundle.absolute()}"
        with suppress(StoreError, DamagedIndex):
            self.engine.index.pin(place, {place}, {place: digests})


def open_recipe(
    path: Path,
    catalog: Catalog,
    environ: Mapping[str, str] = os.environ,
    texts: Mapping[Path, str] = MappingProxyType({}),
) -> Recipe:
    """Loads a recipe and checks it against the backends; `texts` as in `recipe.load`.

    Raises:
        RecipeError: With every finding.
    """
    from buildsys.planner.choices.choosing import settled
    from buildsys.planner.validation import check
    from buildsys.recipe.loading import load

    recipe = load(path, environ=environ, checks=[check(catalog)], texts=texts)
    return settled(recipe, catalog)


def load_catalog() -> Catalog:
    """All backends that are installed."""
    from buildsys.planner.catalog import Catalog

    return Catalog.load()
