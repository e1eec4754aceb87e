"""Finds the best candidate that is good enough, and builds as few of them as it can.

Candidates go from the smallest that they can become to the largest, and of equal width from the mildest to
the most aggressive. Then
- what passes rules out all that cannot be smaller by more than `SLACK`;
- what errs too much rules out all that is more aggressive in every respect (`ordering.milder`);
- what passes, and has nearly all of its weights in fewer bits, rules out what rounds the same weights to as
  many bits and something else besides;
- of one scheme, what the others needed besides their weights is thought to be needed by all.
Latency cannot be predicted: only errors rule candidates out, and the mildest go first.

Where nothing passes, or something smaller nearly does, the layers that are hurt most by it stay float: as few
as suffice, found by bisection (`mixing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.figures.candidate import Figures
from buildsys.planner.choices.candidates import Candidate
from buildsys.planner.choices.choosing import Question
from buildsys.search.errors import SearchError
from buildsys.search.front import FAILED, REFUSED, RULED_OUT, cost_of, marked
from buildsys.search.mixing import Layer, Mixture, find
from buildsys.search.ordering import Sizes, bits, milder, severity
from buildsys.search.trial import Trial

SLACK = 1.05
"""A candidate that could be smaller by no more than a twentieth is not worth its build."""
LEFT = 0.2
"""Where a fifth of what could be saved is not, a scheme has left weights in float that others may not."""
ALMOST = 4.0
"""What errs this many times its bound, or less, may pass with a few layers in float."""


class Bench(Protocol):
    """What candidates are built with."""

    def of(self, candidate: Candidate) -> Trial:
        """Builds and judges a candidate."""
        ...

    def float_artifact(self) -> tuple[Verdict, Sizes | None]:
        """Builds the float artifact."""
        ...


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        question: What was asked.
        candidate: What is to be built: the best that passes; where none does, what came nearest.
        passed: Whether it is good enough.
        figures: All candidates, built or not.
        float_bytes: Size of the float artifact.
        built: How many candidates were built.
    """

    question: Question
    candidate: Candidate
    passed: bool
    figures: tuple[Figures, ...]
    float_bytes: int | None
    built: int


@dataclass
class Searching:
    """One search for one deployable.

    Args:
        question: What is asked.
        minimize: `size` or `latency`.
        bench: Builds candidates.
        layers: The layers by how much they are hurt by a candidate; `None` where nothing tells.
        show: Called with the figures of each candidate that was built.
    """

    question: Question
    minimize: str
    bench: Bench
    layers: Callable[[Candidate], list[Layer] | None]
    keeps: Callable[[Candidate], bool]
    show: Callable[[Figures], None] = lambda _: None
    trials: list[Trial] = field(default_factory=list)
    ruled_out: dict[str, str] = field(default_factory=dict)
    notes: list[Figures] = field(default_factory=list)
    sizes: Sizes | None = None

    def find(self) -> Found:
        """Searches.

        Raises:
            SearchError: Nothing judges candidates here.
        """
        taken = self.question.candidates.taken
        verdict, self.sizes = self.bench.float_artifact()
        if verdict.status is Status.UNVERIFIED or (
            verdict.artifact is not None and verdict.measurement is None
        ):
            raise SearchError(
                f"`{self.question.entry.label}` cannot be searched for here: {verdict.reason}",
                "search where it can be run, and commit the lock; or name one of its profiles",
            )
        if self.sizes is None:
            # The build stops at the same step, and says why.
            return Found(self.question, taken[0], False, (), None, 0)
        timed = verdict.measurement is not None and verdict.measurement.latency_ms
        if self.minimize == "latency" and not timed:
            raise SearchError(
                f"nothing here times `{self.question.entry.label}`, and its search minimizes latency",
                "search on a machine that runs the format, or write `minimize: size`",
            )
        for candidate in self._order(taken):
            self._try(candidate)
        self._mix()
        best = self.best
        chosen = best or min(self.trials, key=lambda t: (t.figures.status == FAILED, t.excess))
        return Found(
            self.question,
            chosen.candidate,
            best is not None,
            tuple(marked(list(self._figures()), self.minimize)),
            self.sizes.bytes,
            len(self.trials),
        )

    @property
    def best(self) -> Trial | None:
        """The best that passes; the first of equals."""
        passed = [t for t in self.trials if t.passed]
        return min(passed, key=lambda t: cost_of(t.figures, self.minimize) or 0.0, default=None)

    def least(self, candidate: Candidate) -> float:
        """The least size that a candidate is thought to have."""
        if self.sizes is None:
            raise ValueError("the float artifact comes first")
        sizes = self.sizes
        profile = candidate.profile
        known = [
            t.figures.bytes - sizes.least(bits(t.candidate.profile))
            for t in self.trials
            if t.figures.bytes is not None and t.candidate.profile.scheme == profile.scheme
        ]
        return sizes.least(bits(profile)) + max(0.0, min(known, default=0.0))

    def _order(self, taken: Iterable[Candidate]) -> list[Candidate]:
        """The candidates by width, and of equal width the mildest first."""
        sizes = self.sizes if self.minimize == "size" else None

        def place(candidate: Candidate) -> tuple[float, ...]:
            first = () if sizes is None else (sizes.least(bits(candidate.profile)),)
            return (*first, *severity(candidate.profile))

        return sorted(taken, key=place)

    def _try(self, candidate: Candidate) -> Trial | None:
        """Builds a candidate, where that may be of use."""
        why = self._useless(candidate)
        if why is not None:
            self.ruled_out[candidate.name] = why
            return None
        trial = self.bench.of(candidate)
        if self.minimize == "size":
            # It is another one with every run, and decides nothing here.
            trial = replace(
                trial, figures=replace(trial.figures, latency_ms=None, latency_ratio=None)
            )
        self.trials.append(trial)
        self.show(trial.figures)
        return trial

    def _useless(self, candidate: Candidate) -> str | None:
        for trial in self.trials:
            if trial.inaccurate and milder(trial.candidate.profile, candidate.profile):
                return f"more aggressive than `{trial.candidate.name}`, which errs too much"
        best = self.best
        if self.minimize == "size" and best is not None and best.figures.bytes is not None:
            mild, narrow = best.candidate.profile, candidate.profile
            if bits(mild) == bits(narrow) and milder(mild, narrow) and self._whole(best):
                return f"it has as many bits for the same weights as `{best.candidate.name}`"
            least = self.least(candidate)
            if least * SLACK >= best.figures.bytes:
                return f"it cannot be much smaller than `{best.candidate.name}`"
        return None

    def _whole(self, trial: Trial) -> bool:
        """Whether nearly all weights of an artifact have become as small as its profile says."""
        if self.sizes is None or trial.figures.bytes is None:
            return False
        least = self.sizes.least(bits(trial.candidate.profile))
        return trial.figures.bytes - least <= LEFT * (self.sizes.bytes - least)

    def _mix(self) -> None:
        """Keeps layers of what nearly passes in float."""
        best = self.best
        limit = None
        if best is not None:
            if self.minimize != "size" or best.figures.bytes is None:
                return
            limit = best.figures.bytes / SLACK
        nearly = [
            t
            for t in self.trials
            if t.inaccurate
            and self.keeps(t.candidate)
            and (best is None or t.excess <= ALMOST)
            and t.figures.bytes is not None
            and (limit is None or t.figures.bytes < limit)
        ]
        base = min(nearly, key=lambda t: (t.excess, t.figures.bytes or 0), default=None)
        if base is None or base.figures.bytes is None:
            return
        layers = self.layers(base.candidate)
        if not layers:
            self.notes.append(
                Figures(
                    f"{base.candidate.name} with layers in float",
                    RULED_OUT,
                    reason="nothing tells which layers it hurts",
                )
            )
            return

        def tried(mixture: Mixture) -> bool:
            trial = self._try(mixture.of(base.candidate, self.question.search))
            return trial is not None and trial.passed

        find(layers, base.figures.bytes, limit, tried)

    def _figures(self) -> Iterator[Figures]:
        """All candidates: those that were built in that order, then the others."""
        yield from (trial.figures for trial in self.trials)
        yield from (Figures(name, RULED_OUT, reason=why) for name, why in self.ruled_out.items())
        yield from self.notes
        for name, fault in self.question.candidates.refused.items():
            yield Figures(name, REFUSED, reason=fault.message)
