"""Builds and judges one candidate as a build would, and places nothing."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib import format as npy

from buildsys.bounds import BY_NAME, OUTPUT_CEILINGS, OUTPUT_FLOORS
from buildsys.engine import building
from buildsys.engine.listener import Listener
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.engine.run import Run, Settings
from buildsys.engine.session import Session
from buildsys.figures.candidate import Figures
from buildsys.planner.choices.candidates import Candidate
from buildsys.planner.choices.choosing import choose
from buildsys.planner.entries import entries
from buildsys.planner.graph import ActionGraph, OutputRef
from buildsys.planner.planning import make_graph
from buildsys.recipe import Recipe, RecipeError
from buildsys.recipe.schema.benchmark import Benchmark
from buildsys.search.front import FAILED, PASSED, REJECTED, worst_error
from buildsys.search.ordering import Sizes
from buildsys.verify.judgment.gate import Gate

ACCURACY = (*OUTPUT_CEILINGS, *OUTPUT_FLOORS, "metric_drop", "finite")
"""Bounds that a milder candidate meets rather than a more aggressive one."""


@dataclass(frozen=True)
class Trial:
    """A candidate that was built.

    Attributes:
        candidate: The candidate.
        figures: Its figures.
        gates: Each bound with its value; none where it failed to build.
    """

    candidate: Candidate
    figures: Figures
    gates: tuple[Gate, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it is good enough."""
        return self.figures.status == PASSED

    @property
    def inaccurate(self) -> bool:
        """Whether it was rejected for what a milder candidate could do better."""
        return any(not g.passed and g.bound in ACCURACY for g in self.gates)

    @property
    def excess(self) -> float:
        """How far beyond its bounds it errs: the greatest ratio of a figure to its limit."""
        return max((_excess(gate) for gate in self.gates if not gate.passed), default=0.0)


class Trials:
    """Builds candidates of one deployable.

    Args:
        session: The recipe and the store.
        label: The deployable's.
        settings: How to run.
        listener: Receives the build's events.
        timed: Whether candidates are run in turns with the float artifact.
    """

    def __init__(
        self,
        session: Session,
        label: str,
        settings: Settings,
        listener: Listener,
        *,
        timed: bool = False,
    ) -> None:
        self._session = session
        self._timed = timed
        self._label = label
        self._settings = settings
        self._listener = listener

    def of(self, candidate: Candidate) -> Trial:
        """Builds a candidate.

        Raises:
            ToolchainError: An environment could not be made; that says nothing of the candidate.
        """
        try:
            _, _, verdict = self._build(candidate)
        except RecipeError as error:
            # No route, or an option that nothing on it reads: as good as a step that fails.
            reason = error.diagnostics[0].message
            return Trial(candidate, Figures(candidate.name, FAILED, reason=reason))
        return Trial(candidate, _figures(candidate.name, verdict), verdict.gates)

    def float_artifact(self) -> tuple[Verdict, Sizes | None]:
        """Builds the float artifact; gives its sizes too, where it could be built.

        Raises:
            ToolchainError: An environment could not be made.
        """
        graph, run, verdict = self._build(None)
        if verdict.artifact is None:
            return verdict, None
        total = verdict.artifact.size
        reading = f"{verdict.deployable.format}.weights"
        read = next(
            (n for n in verdict.deployable.actions if graph.actions[n].rule == reading), None
        )
        trace = run.trace(read) if read is not None else None
        if trace is None:
            # Nothing reads its weights: at best, all of it becomes smaller.
            return verdict, Sizes(total, total)
        content = self._session.engine.store.read(trace.outputs["weights"].digest)
        return verdict, Sizes(total, min(total, _matrices(content)))

    def _build(self, candidate: Candidate | None) -> tuple[ActionGraph, Run, Verdict]:
        session = self._session
        recipe = choose(session.recipe, self._label, candidate)
        if self._timed:
            recipe = _benchmarked(recipe, self._label)
        graph = make_graph(recipe, session.catalog, [self._label])
        # The weights are looked at, and so kept at hand.
        graph.wanted = tuple(
            OutputRef(name, output.name)
            for name, action in graph.actions.items()
            if action.rule.endswith(".weights") and candidate is None
            for output in action.outputs
        )

        def do() -> tuple[Run, list[Verdict]]:
            return building.judge(
                session.engine, graph, session.project(), self._settings, self._listener
            )

        run, (verdict,) = session.engine.mended(do, lambda _: None)
        if run.environment_error is not None:
            raise run.environment_error
        return graph, run, verdict


def _benchmarked(recipe: Recipe, label: str) -> Recipe:
    """The recipe with a benchmark of a deployable's model, where it asks for none."""
    name = next(entry.model for entry in entries(recipe) if entry.label == label)
    model = recipe.spec.models[name]
    if model.benchmark is not None:
        return recipe
    models = {**recipe.spec.models, name: model.model_copy(update={"benchmark": Benchmark()})}
    return replace(recipe, spec=recipe.spec.model_copy(update={"models": models}))


def _figures(name: str, verdict: Verdict) -> Figures:
    measured, benchmark = verdict.measurement, verdict.benchmark
    latency = measured.latency_ms if measured is not None else None
    metric = measured.metric if measured is not None else None
    ratio = benchmark.against_float if benchmark is not None else None
    figures = Figures(
        name,
        PASSED,
        bytes=verdict.artifact.size if verdict.artifact is not None else None,
        error=worst_error(measured),
        metric=metric.value if metric is not None else None,
        latency_ms=latency.p50 if latency is not None else None,
        latency_ratio=ratio.ratio if ratio is not None else None,
    )
    if verdict.status is Status.REJECTED:
        return replace(figures, status=REJECTED, reason=verdict.reason)
    if not verdict.status.shipped:
        return replace(figures, status=FAILED, reason=verdict.reason)
    return figures


def _excess(gate: Gate) -> float:
    if gate.value is None or gate.bound not in ACCURACY or gate.bound == "finite":
        return float("inf")
    if gate.bound in OUTPUT_FLOORS:
        # How much is missing of what is perfect, where that is 1; else how far below it is.
        perfect = BY_NAME[gate.bound].best
        if perfect is None:
            return 10 ** ((gate.limit - gate.value) / 20)
        return (
            (perfect - gate.value) / (perfect - gate.limit)
            if gate.limit < perfect
            else float("inf")
        )
    return gate.value / gate.limit if gate.limit > 0 else float("inf")


def _matrices(content: bytes) -> int:
    """Bytes of the weights in float of two axes or more, from `weights.npz`, by headers alone."""
    found = 0
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            if not name.endswith(".values.npy"):
                continue
            with archive.open(name) as stream:
                version = npy.read_magic(stream)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, _, dtype = read(stream)
            if len(shape) >= 2 and np.issubdtype(dtype, np.floating):
                found += int(np.prod(shape)) * dtype.itemsize
    return found
