"""Bounds for deployables, from what they show on more samples than they are gated by.

Artifacts are made as a build makes them, and measured on up to `ROWS` rows of the dataset, or on `DRAWN`
random samples of another seed. Bounds on errors are twice what the worse half of these samples shows: a gate
whose samples are all of the worse kind still passes, with a factor of two left for another processor's
kernels (over the zoo of `benchmarks/zoo`, runtimes differ by no more in float32).
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from buildsys.bounds import ARTIFACT_CEILINGS, OUTPUT_CEILINGS, OUTPUT_FLOORS
from buildsys.engine import building
from buildsys.engine.listener import Listener, ignore
from buildsys.engine.outcome.verdicts import precision_of
from buildsys.engine.run import Run, Settings
from buildsys.engine.session import Session
from buildsys.figures.json_form import to_json
from buildsys.figures.measurement import Measurement, Quantiles
from buildsys.planner.graph import ActionGraph, Deployable, OutputRef
from buildsys.planner.planning import make_measurements
from buildsys.recipe import Recipe
from buildsys.verify.judgment.defaults import UNRELATED
from buildsys.verify.judgment.floors import LEAST_FLOORS, Floors
from buildsys.verify.judgment.gate import tightest_limit

ROWS = 256
DRAWN = 64
OTHER_SEED = 1000
MARGIN = 2.0
DOUBLED_DB = 6.0206
"""20 log₁₀ 2."""
LEAST_RATIO = {"float32": 4.0, "float16": 2.0}
"""Over the zoo, runtimes stay below this multiple of torch's own error."""
VERSION = 1
SUFFIX = " (more)"
"""Ends the name of a dataset of the derived recipe: no name in a recipe holds a space."""
NAMES = {None: "close", "float16": "half", "bfloat16": "half"}


@dataclass(frozen=True)
class Proposal:
    """A bound on an output.

    Attributes:
        bound: The recipe's word.
        output: The output.
        now: The limit that holds now, or `None` where there is none.
        value: The figure over all samples.
        quantiles: `p50`, `p95` and `max` of the samples' own, for `signal_error`.
        proposed: The limit that is proposed, or `None` where the figure is not a number.
    """

    bound: str
    output: str
    now: float | None
    value: float | None
    quantiles: Mapping[str, float] | None
    proposed: float | None

    @property
    def holds(self) -> bool:
        """Whether the limit that holds now holds on these samples as well."""
        if self.now is None:
            return True
        if self.value is None:
            return False
        floor = self.bound in OUTPUT_FLOORS
        return self.value >= self.now if floor else self.value <= self.now


@dataclass(frozen=True)
class Suggested:
    """The proposals for a deployable.

    Attributes:
        deployable: It, with the bounds that hold now.
        samples: How many it was measured on; 0 where it was not.
        proposals: One a bound and output.
        reason: Why there are none.
        accept: The tolerance that they belong to: the one it is held to, or a name for it.
    """

    deployable: Deployable
    samples: int
    proposals: tuple[Proposal, ...] = ()
    reason: str | None = None
    accept: str = ""

    def to_json(self) -> dict[str, Any]:
        """The proposals as plain data."""
        return {
            "label": self.deployable.label,
            "accept": self.accept,
            "samples": self.samples,
            "reason": self.reason,
            "bounds": [{**asdict(p), "holds": p.holds} for p in self.proposals],
        }


@dataclass(frozen=True)
class Answer:
    """What was found.

    Attributes:
        graph: The actions that it came from.
        run: What happened to them.
        suggested: One a selected deployable.
        acceptance: The section of a recipe that they make.
    """

    graph: ActionGraph
    run: Run
    suggested: list[Suggested]
    acceptance: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What was found, as plain data."""
        return {
            "version": VERSION,
            "deployables": [each.to_json() for each in self.suggested],
            "acceptance": self.acceptance,
            "yaml": yaml_text(self.acceptance, self.suggested) if self.acceptance else "",
        }


def suggest(
    session: Session,
    selectors: tuple[str, ...],
    *,
    settings: Settings | None = None,
    listener: Listener = ignore,
) -> Answer:
    """Measures on more samples and proposes bounds.

    Args:
        session: The recipe and the store.
        selectors: Targets, labels or globs; all deployables where there is none.
        settings: How to run.
        listener: Receives the build's events.

    Raises:
        RecipeError: A deployable has no route.
        NoMatch: A selector matches nothing.
    """
    now = {d.label: d for d in session.graph(selectors).deployables}
    graph, measured = make_measurements(
        with_more_samples(session.recipe), session.catalog, selectors
    )
    engine = session.engine

    def do() -> tuple[Run, dict[OutputRef, bytes]]:
        return building.give(engine, graph, session.project(), settings or Settings(), listener)

    run, files = engine.mended(do, lambda _: None)
    taken = session.recipe.spec.acceptance
    suggested = [
        replace(_suggested(now[d.label], d, files), accept=_name(now[d.label], taken))
        for d in measured
    ]
    return Answer(graph, run, suggested, acceptance(suggested))


def with_more_samples(recipe: Recipe) -> Recipe:
    """The recipe with more samples, without evaluations, and with the default bounds.

    Calibrations keep their data: what is measured is what a build makes.
    """
    spec = recipe.spec
    datasets = dict(spec.datasets)
    models = {}
    for name, model in spec.models.items():
        samples = model.samples
        more: dict[str, Any]
        if samples.dataset is None:
            # Not the same ones once more: what was tuned to them would not show.
            more = {"count": max(DRAWN, samples.count), "seed": samples.seed + OTHER_SEED}
        else:
            dataset = spec.datasets[samples.dataset]
            rows = min(dataset.limit or ROWS, ROWS)
            datasets[samples.dataset + SUFFIX] = dataset.model_copy(update={"limit": rows})
            # Without a number, all rows are taken.
            more = {"dataset": samples.dataset + SUFFIX, "count": None}
        changed: dict[str, Any] = {"samples": samples.model_copy(update=more), "evaluate": None}
        models[name] = model.model_copy(update=changed)
    targets = {
        target: tuple(entry.model_copy(update={"accept": None}) for entry in entries)
        for target, entries in spec.targets.items()
    }
    update = {"datasets": datasets, "models": models, "targets": targets}
    return replace(recipe, spec=spec.model_copy(update=update))


def _name(deployable: Deployable, taken: Container[str]) -> str:
    """The tolerance's name; where the recipe names none, one that it does not use."""
    if deployable.limits.acceptance != "default":
        return deployable.limits.acceptance
    name = NAMES.get(deployable.quantized.scheme, "quantized")
    return f"{name}-{deployable.target}" if name in taken else name


def _suggested(
    now: Deployable, measured: Deployable, files: Mapping[OutputRef, bytes]
) -> Suggested:
    if measured.evidence.measurement is None:
        return Suggested(now, 0, reason=measured.evidence.unverified)
    read = files.get(measured.evidence.measurement)
    if read is None:
        return Suggested(now, 0, reason="a step on its way failed")
    figures = Measurement.of(json.loads(read))
    return Suggested(now, figures.samples, tuple(_proposals(now, figures)))


def _proposals(deployable: Deployable, measured: Measurement) -> Iterator[Proposal]:
    precision = precision_of(deployable)
    floors = Floors.of(measured, precision).values
    for output, figures in measured.outputs.items():
        specific = deployable.limits.output_bounds.get(output, {})
        own = {**deployable.limits.bounds, **specific}
        for bound in OUTPUT_CEILINGS + OUTPUT_FLOORS:
            if bound != "signal_error" and bound not in own:
                continue
            floor = floors.get(output)
            value = figures.errors.get(bound)
            if bound == "floor_ratio":
                error = figures.signal_error
                value = None if error is None or floor is None else error / floor
            quantiles = figures.quantiles
            proposed = None
            if value is not None:
                limit = _limit(bound, value, quantiles, floor, precision, measured.samples)
                proposed = tightest_limit(bound, limit)
            shown = to_json(quantiles) if bound == "signal_error" else None
            yield Proposal(bound, output, own.get(bound), value, shown, proposed)


def _limit(
    bound: str,
    value: float,
    quantiles: Quantiles | None,
    floor: float | None,
    precision: str | None,
    samples: int,
) -> float:
    """A limit with margin."""
    if bound in ("signal_error", "floor_ratio"):
        error = MARGIN * (quantiles.upper if quantiles else value)
        if bound == "floor_ratio":
            least = LEAST_RATIO.get(precision or "", 0.0)
            return max(error / floor if floor else value, least)
        # In float32 another order of a sum is another rounding, though none shows here.
        least = LEAST_RATIO["float32"] * (floor or LEAST_FLOORS["float32"])
        limit = max(error, least) if precision == "float32" else error
        return max(value, min(limit, UNRELATED))
    if bound == "sqnr_db":
        return value - DOUBLED_DB
    if bound == "cosine":
        return 1 - MARGIN * (1 - value)
    if bound == "top1_agreement":
        # Where none of them parts none may; else one more than twice as many.
        return 1.0 if value == 1 else max(0.0, 1 - MARGIN * (1 - value) - 1 / samples)
    return MARGIN * value


def acceptance(suggested: list[Suggested]) -> dict[str, Any]:
    """`acceptance:` of a recipe, with the loosest proposal where several share a tolerance.

    Bounds on artifacts as a whole (size, latency, the metric) are as they are now.
    """
    found: dict[str, Any] = {}
    for each in suggested:
        if not each.proposals:
            continue
        block = found.setdefault(each.accept, {})
        whole = {b: v for b, v in each.deployable.limits.bounds.items() if b in ARTIFACT_CEILINGS}
        block |= whole
        several = len({p.output for p in each.proposals}) > 1
        for proposal in each.proposals:
            if proposal.proposed is None:
                continue
            at = (
                block.setdefault("outputs", {}).setdefault(proposal.output, {})
                if several
                else block
            )
            known = at.get(proposal.bound, proposal.proposed)
            loosest = min if proposal.bound in OUTPUT_FLOORS else max
            at[proposal.bound] = loosest(known, proposal.proposed)
    order = (*OUTPUT_CEILINGS, *OUTPUT_FLOORS, *ARTIFACT_CEILINGS)
    return {name: _ordered(block, order) for name, block in found.items() if block}


def _ordered(block: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    """Bounds in the order of the documents, outputs at the end."""
    known = {bound: block[bound] for bound in order if bound in block}
    return known | {key: value for key, value in block.items() if key not in known}


def yaml_text(section: Mapping[str, Any], suggested: list[Suggested]) -> str:
    """The section as text for a recipe, with the labels that each tolerance is for."""
    lines = ["acceptance:"]
    for name, block in section.items():
        labels = [s.deployable.label for s in suggested if s.proposals and s.accept == name]
        lines.append(f"  {name}:  # {', '.join(labels)}")
        for key, value in block.items():
            if key != "outputs":
                lines.append(f"    {key}: {_number(value)}")
        for output, bounds in block.get("outputs", {}).items():
            if output == next(iter(block["outputs"])):
                lines.append("    outputs:")
            written = ", ".join(f"{bound}: {_number(value)}" for bound, value in bounds.items())
            lines.append(f"      {output}: {{{written}}}")
    return "\n".join(lines)


def _number(value: float) -> str:
    """A number that every reader of YAML takes for one: `1e-7` is text to some."""
    text = f"{value:.12g}"
    mantissa, exponent, power = text.partition("e")
    return f"{mantissa}.0e{power}" if exponent and "." not in mantissa else text
