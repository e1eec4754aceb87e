"""Plan and build of one recipe against one store: what the CLI and the Python API call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

import platformdirs

from buildsys.engine.engine import Engine, Project, needed
from buildsys.engine.environments import Environments
from buildsys.engine.events import Collected, Gate, Listener, Version, ignore, warning
from buildsys.engine.executors.executor import Executor
from buildsys.engine.outcome.placing import refuse_obstacles
from buildsys.engine.outcome.verdicts import Judge, Status, Verdict
from buildsys.engine.run import Run, Settings
from buildsys.engine.scheduling import schedule
from buildsys.engine.staleness.explain import Explainer, Reason
from buildsys.engine.staleness.walk import Standing, State, Walk
from buildsys.exit_status import ExitStatus
from buildsys.planner.catalog import Catalog
from buildsys.planner.choices.choosing import Question, choose, settled, unsettled
from buildsys.planner.graph import ActionGraph, Deployable
from buildsys.planner.planning import make_graph
from buildsys.planner.validation import check
from buildsys.recipe import Recipe, load
from buildsys.store import DamagedIndex, StoreError
from buildsys.store.collection import Collector
from buildsys.store.inventory import BUNDLE
from buildsys.toolchains import Provisioner

if TYPE_CHECKING:
    from buildsys.planner.digraph import ActionDiGraph

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


@dataclass(frozen=True)
class PlannedDeployable:
    """A deployable as `plan` sees it.

    Attributes:
        deployable: What was asked for.
        sign: `+` new, `~` stale, `=` up to date, `?` maybe, `!` blocked.
        reasons: What changed.
        blocked: Why it cannot be made here.
        search: How many candidates a search would build at most, where it has none chosen.
        rejected: For one that is up to date: the bound that does not hold. A build would run nothing
            and reject it again.
        unseen: For one that is up to date: through what its model's code read where nothing could see
            it, so that its inputs are not fully known.
    """

    deployable: Deployable
    sign: str
    reasons: tuple[Reason, ...]
    blocked: str | None
    rejected: str | None = None
    search: int | None = None
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a build would do.

    Attributes:
        action_graph: The actions, as the engine has them.
        standings: State by action id.
        reasons: Causes by action id.
        deployables: One entry a selected deployable.
        seconds: A guess of the work from history, or `None` where there is too little of it.
        elapsed: How long that takes with the executor's slots.
    """

    action_graph: ActionGraph
    standings: dict[str, Standing]
    reasons: dict[str, list[Reason]]
    deployables: list[PlannedDeployable]
    seconds: float | None
    elapsed: float | None = None

    @cached_property
    def graph(self) -> ActionDiGraph:
        """The actions as a networkx `DiGraph`.

        Nodes are ids of actions, in a topological order. Edges run from an action to those that take its
        outputs. A node has these attributes:

        - `rule`: the kind of step, such as `onnx.export`.
        - `toolchain`: the environment that it runs in, or `None` for a built-in step.
        - `state`: what a build would do: `run`, `maybe` (as soon as an input turns out to be new),
          `hit` (nothing: the result is known) or `blocked`.
        - `deployables`: the labels that need it, as a list.

        An edge has `inputs`: the names of the inputs that it goes into, as a list.
        """
        from buildsys.planner.digraph import digraph  # It imports networkx.

        states = {name: standing.state.value for name, standing in self.standings.items()}
        return digraph(self.action_graph, states)

    def count(self, state: State) -> int:
        """How many actions are in a state."""
        return sum(standing.state is state for standing in self.standings.values())

    @property
    def has_work(self) -> bool:
        """Whether a build would, or might, run anything."""
        searches = any(planned.search is not None for planned in self.deployables)
        return bool(searches or self.count(State.RUN) or self.count(State.MAYBE))


@dataclass(frozen=True)
class Build:
    """The result of a build.

    Attributes:
        recipe: What was built.
        graph: The actions.
        run: What happened to them.
        verdicts: One a selected deployable.
        folder: Where artifacts were placed.
        exit: The command's exit status.
        processes: How many worker processes were started.
    """

    recipe: Recipe
    graph: ActionGraph
    run: Run
    verdicts: list[Verdict]
    folder: Path
    exit: int
    processes: int
    paths: dict[str, Path] = field(default_factory=dict)

    def summary(self) -> dict[str, int]:
        """Counts of actions."""
        failed = len(self.run.failures)
        executed = set(self.run.executed)
        return {
            "hit": sum(name not in executed for name in self.run.standings)
            - sum(s.state is State.BLOCKED for s in self.run.standings.values()),
            "ran": len(executed) - failed,
            "failed": failed,
            "blocked": len(self.run.skipped),
        }


class Session:
    """One recipe, one store; a context manager that closes the index.

    Args:
        recipe: What to build.
        catalog: All backends.
        root: The store's folder; default: `cache_root()`.
        salt: Mixed into every key, to force a build of its own.
        offline: Whether toolchains that are missing are made without the network.
        executor: Runs actions; worker processes on this machine by default.
        max_size: Bytes of stored files above which the least recently used are removed at the end of
            a build; `None` for no limit.
    """

    def __init__(
        self,
        recipe: Recipe,
        catalog: Catalog | None = None,
        *,
        root: Path | None = None,
        salt: str = "",
        offline: bool = False,
        executor: Executor | None = None,
        max_size: int | None = None,
    ) -> None:
        self.recipe = recipe
        self._max_size = max_size
        self.catalog = catalog or Catalog.load()
        self.root = root or cache_root()
        overrides = {
            name: recipe.folder / toolchain.lock
            for name, toolchain in recipe.spec.toolchains.items()
        }
        self.provisioner = Provisioner(
            toolchains_root(self.root), self.catalog.toolchains, overrides, offline=offline
        )
        self.environments = Environments(self.provisioner)
        self.engine = Engine(self.root, self.environments, executor=executor, salt=salt)

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
        artifacts = (out or self.recipe.folder / "artifacts").absolute()
        return Project(
            self.recipe.spec.project,
            self.recipe.folder,
            os.path.relpath(self.recipe.path, artifacts),
            artifacts,
        )

    def graph(self, selectors: Iterable[str] = ()) -> ActionGraph:
        """The actions for the selected deployables.

        Raises:
            RecipeError: A deployable has no route.
            NoMatch: A selector matches nothing.
        """
        return make_graph(self.recipe, self.catalog, selectors)

    def plan(self, selectors: Iterable[str] = ()) -> Plan:
        """What a build would do. Runs nothing; only digests of files are memoised.

        A search that would run counts as one candidate: how many more it takes, only it finds out.
        """
        chosen = tuple(selectors)
        return self.engine.mended(lambda: self._plan(chosen), lambda _: None)

    def _plan(self, selectors: Iterable[str]) -> Plan:
        recipe = self.recipe
        searches: dict[str, Question] = {}
        for question in unsettled(recipe, self.catalog, selectors):
            # What all candidates have in common is planned with one of them.
            searches[question.entry.label] = question
            recipe = choose(recipe, question.entry.label, question.candidates.taken[0])
        graph = make_graph(recipe, self.catalog, selectors)
        project = self.project()
        refuse_obstacles(project.artifacts, graph.deployables)
        walk = self.engine.walk(graph, project)
        standings = walk.states()
        explainer = Explainer(recipe, graph, walk, standings)
        reasons = {
            name: explainer.action(action)
            for name, action in graph.actions.items()
            if standings[name].state in (State.RUN, State.MAYBE)
        }
        planned = [self._planned(d, standings, explainer) for d in graph.deployables]
        judge = Judge(graph, Run(standings), self.engine.store, self.environments)
        planned = [
            replace(p, rejected=judge.rejection(p.deployable), unseen=judge.unseen(p.deployable))
            if p.sign == "="
            else p
            for p in planned
        ]
        planned = [_unsearched(p, searches.get(p.deployable.label)) for p in planned]
        with suppress(StoreError):  # A store that cannot be written can still be planned against.
            self.engine.save()
        return Plan(
            graph, standings, reasons, planned, *self._estimate(walk, standings, self.engine.slots)
        )

    @staticmethod
    def _planned(
        deployable: Deployable, standings: Mapping[str, Standing], explainer: Explainer
    ) -> PlannedDeployable:
        states = [standings[name] for name in deployable.actions]
        blocked = next((s.reason for s in states if s.state is State.BLOCKED), None)
        if blocked is not None:
            return PlannedDeployable(deployable, "!", (), blocked)
        if all(s.state is State.HIT for s in states):
            return PlannedDeployable(deployable, "=", (), None)
        if explainer.is_new(deployable):
            return PlannedDeployable(deployable, "+", (), None)
        # The artifact itself is stale when a step of its own route is sure to run.
        sure = any(standings[name].state is State.RUN for name in deployable.actions)
        return PlannedDeployable(
            deployable, "~" if sure else "?", tuple(explainer.roots(deployable)), None
        )

    @staticmethod
    def _estimate(
        walk: Walk, standings: Mapping[str, Standing], slots: int
    ) -> tuple[float | None, float | None]:
        """Seconds of work and until its end, by history; `None` where a rule has none."""
        rules = walk.index.expenses()
        actions = walk.graph.actions
        wanted = {n for n, s in standings.items() if s.state in (State.RUN, State.MAYBE)}
        if any(actions[n].rule not in rules and walk.last(actions[n]) is None for n in wanted):
            return None, None
        expected = {n: schedule.expense(a, walk, rules) for n, a in actions.items()}
        work = sum(expected[name].seconds for name in wanted)
        return work, schedule.elapsed(walk, expected, wanted, slots)

    def build(
        self,
        selectors: Iterable[str] = (),
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
        listener(Version())

        def warn(message: str) -> None:
            listener(warning(message))

        graph = self.graph(selectors)
        project = self.project(out)
        outcome = self.engine.mended(
            lambda: self.engine.build(graph, project, settings or Settings(), listener), warn
        )
        build = Build(
            self.recipe,
            graph,
            outcome.run,
            outcome.verdicts,
            project.artifacts,
            exit_status(outcome.run, outcome.verdicts, strict),
            outcome.processes,
            outcome.paths,
        )
        self._announce(build, listener)
        if outcome.run.executed:
            self._collect(listener)
        return build

    def pin(self, bundle: Path, build: Build) -> None:
        """Keeps what a bundle holds from being collected, as long as it lies where it was written."""
        digests: set[str] = set()
        for verdict in build.verdicts:
            digests |= needed(verdict.deployable, build.run)
        place = f"{BUNDLE}:{bundle.absolute()}"
        with suppress(StoreError, DamagedIndex):
            self.engine.index.pin(place, {place}, {place: digests})

    def _collect(self, listener: Listener) -> None:
        """Keeps the store within the user's limit, now that it has grown."""
        engine = self.engine
        # The build is done: what cannot be removed stays.
        with suppress(StoreError, DamagedIndex):
            collector = Collector(engine.root, engine.store, engine.index)
            done = collector.collect_if_over(self._max_size)
            if done is not None:
                listener(Collected(freed_bytes=done.freed_bytes, files=done.files))

    @staticmethod
    def _announce(build: Build, listener: Listener) -> None:
        for verdict in build.verdicts:
            listener(
                Gate(
                    deployable=verdict.deployable.label,
                    status=str(verdict.status),
                    reason=verdict.reason,
                    inputs_not_known=list(verdict.unseen),
                    gates=[gate.to_json() for gate in verdict.gates],
                )
            )


def _unsearched(planned: PlannedDeployable, question: Question | None) -> PlannedDeployable:
    """What a plan says of a deployable whose search has not chosen yet."""
    if question is None:
        return planned
    sign = "!" if planned.blocked is not None else "?"
    return replace(planned, sign=sign, reasons=(), rejected=None, search=question.most)


def exit_status(run: Run, verdicts: list[Verdict], strict: bool) -> ExitStatus:
    """The documented exit status of a build."""
    if run.environment_error is not None:
        return ExitStatus.ENVIRONMENT
    statuses = {verdict.status for verdict in verdicts}
    if Status.FAILED in statuses or run.failures:
        return ExitStatus.FAILED
    unsure = Status.UNVERIFIED in statuses or any(verdict.unseen for verdict in verdicts)
    if Status.REJECTED in statuses or (strict and unsure):
        return ExitStatus.REJECTED
    return ExitStatus.ENVIRONMENT if Status.BLOCKED in statuses else ExitStatus.OK


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
    recipe = load(path, environ=environ, checks=[check(catalog)], texts=texts)
    return settled(recipe, catalog)
