"""Which candidates are built, and how good what is found is, against trying all: without any build."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.figures.candidate import Figures
from buildsys.figures.measurement import Measurement
from buildsys.planner.choices.candidates import Candidate, Candidates
from buildsys.planner.choices.choosing import Question
from buildsys.recipe.schema.quantization import Quantization
from buildsys.search.errors import SearchError
from buildsys.search.front import FAILED, PASSED, REJECTED
from buildsys.search.mixing import Layer, Mixture, find
from buildsys.search.ordering import Sizes, bits, severity
from buildsys.search.searching import Searching
from buildsys.search.trial import Trial
from buildsys.verify.judgment.gate import Gate

FLOAT = Sizes(bytes=1_000_000, weights=960_000)
LIMIT = 0.1
Model = Callable[[Quantization], tuple[float, float]]
"""Bytes and error of an artifact by its profile."""


def candidate(name: str, scheme: str, **given: Any) -> Candidate:
    profile = Quantization.model_validate({"scheme": scheme, **given})
    return Candidate(name, name, profile, variant=False)


EVERY = [candidate("float16", "float16")] + [
    candidate(f"{scheme} {width} {'channel' if per_channel else 'tensor'}", scheme, bits=width)
    if per_channel
    else candidate(f"{scheme} {width} tensor", scheme, bits=width, per_channel=False)
    for scheme in ("weight-only", "dynamic")
    for width in (8, 6, 4)
    for per_channel in (True, False)
]


class Bench:
    """Artifacts by a model of their size and error."""

    def __init__(
        self, model: Model, latency: Callable[[Quantization], float] | None = None
    ) -> None:
        self.model, self.latency = model, latency
        self.built: list[str] = []
        self.broken: set[str] = set()

    def float_artifact(self) -> tuple[Verdict, Sizes | None]:
        times = {"p50": 2.0, "p95": 2.0} if self.latency else None
        measured = Measurement.of({"outputs": {}, "latency_ms": times})
        verdict = SimpleNamespace(
            status=Status.VERIFIED, artifact=object(), measurement=measured, reason=None
        )
        return cast(Verdict, verdict), FLOAT

    def of(self, candidate: Candidate) -> Trial:
        self.built.append(candidate.name)
        if candidate.name in self.broken:
            return Trial(candidate, Figures(candidate.name, FAILED, reason="broken"))
        size, error = self.model(candidate.profile)
        gate = Gate("signal_error", "y", LIMIT, error, error <= LIMIT)
        status = PASSED if gate.passed else REJECTED
        time = self.latency(candidate.profile) if self.latency else None
        return Trial(
            candidate, Figures(candidate.name, status, int(size), error, None, time), (gate,)
        )


def question(candidates: list[Candidate]) -> Question:
    entry = SimpleNamespace(label="t/m.f-q")
    return Question(cast(Any, entry), "q", Candidates(tuple(candidates)), "sha256:0")


def searching(bench: Bench, candidates: list[Candidate] = EVERY, **more: Any) -> Searching:
    given: dict[str, Any] = {"layers": lambda _: None, "keeps": lambda _: False, **more}
    minimize = given.pop("minimize", "size")
    return Searching(question(candidates), minimize, bench, **given)


def plausible(draw: random.Random) -> Model:
    """Errors that grow with what is rounded; sizes of the weights and a few scales."""
    base, deep, coarse = draw.uniform(0.001, 2.0), draw.uniform(0, 2), draw.uniform(1, 3)
    extra = {scheme: draw.uniform(0, 8_000) for scheme in ("weight-only", "dynamic")}

    def model(profile: Quantization) -> tuple[float, float]:
        width = bits(profile)
        if profile.scheme == "float16":
            return FLOAT.least(16) + 1_000, base * 2**-14
        error = base * 2**-width * 16 * (1 if profile.per_channel else coarse)
        if profile.scheme == "dynamic":
            error += deep * 2.0**-8
        scales = 4_000 if profile.per_channel else 100
        return FLOAT.least(width) + scales + extra[str(profile.scheme)], error

    return model


@pytest.mark.parametrize("seed", range(200))
def test_nearly_the_best_is_found_with_less_than_half_of_the_builds(seed: int) -> None:
    draw = random.Random(seed)
    model = plausible(draw)
    candidates = draw.sample(EVERY, len(EVERY))
    bench = Bench(model)
    found = searching(bench, candidates).find()
    sizes = [model(each.profile) for each in EVERY]
    passing = [size for size, error in sizes if error <= LIMIT]
    assert found.passed == bool(passing)
    if passing:
        size, error = model(found.candidate.profile)
        assert error <= LIMIT
        assert size <= 1.1 * min(passing)
    assert len(bench.built) < len(EVERY) / 2
    # Every candidate is accounted for.
    assert {f.name for f in found.figures} == {each.name for each in EVERY}


def test_what_leaves_weights_in_float_rules_out_nothing_of_its_width() -> None:
    def model(profile: Quantization) -> tuple[float, float]:
        # Some runtimes have integers for matrices alone, and convolutions stay as they are.
        left = 300_000 if profile.scheme == "weight-only" else 0
        return FLOAT.least(bits(profile)) + left, 0.01 if bits(profile) >= 8 else 1.0

    bench = Bench(model)
    found = searching(bench).find()
    assert found.candidate.name == "dynamic 8 channel"
    assert "dynamic 8 tensor" not in bench.built


def test_what_fails_to_build_rules_out_nothing() -> None:
    bench = Bench(plausible(random.Random(3)))
    bench.broken = {"weight-only 4 channel", "weight-only 8 channel"}
    found = searching(bench).find()
    assert found.passed
    assert "weight-only 4 tensor" in bench.built
    assert [f.name for f in found.figures if f.status == FAILED]


def test_a_bound_on_the_size_says_nothing_of_milder_and_harsher() -> None:
    trial = Trial(
        EVERY[1], Figures("x", REJECTED, 10), (Gate("size_ratio", None, 0.3, 0.4, False),)
    )
    assert not trial.inaccurate
    assert trial.excess == float("inf")


def test_the_fastest_is_the_fastest_that_passes_and_errors_alone_rule_out() -> None:
    times = {"weight-only": 1.5, "dynamic": 1.0, "float16": 1.8}

    def model(profile: Quantization) -> tuple[float, float]:
        return 1000, 0.01 if bits(profile) > 4 and profile.per_channel in (True, None) else 0.2

    bench = Bench(model, lambda profile: times[str(profile.scheme)])
    found = searching(bench, minimize="latency").find()
    assert found.candidate.profile.scheme == "dynamic"
    # Of four bits, and of scales a tensor, the mildest is built, and nothing besides.
    assert [name for name in bench.built if "tensor" in name] == ["weight-only 8 tensor"]
    assert [name for name in bench.built if " 4" in name] == ["weight-only 4 channel"]


def test_what_cannot_be_timed_cannot_be_the_fastest() -> None:
    with pytest.raises(SearchError) as caught:
        searching(Bench(plausible(random.Random(0))), minimize="latency").find()
    assert "times" in caught.value.message


def test_what_nothing_runs_is_not_searched_for() -> None:
    bench = Bench(plausible(random.Random(0)))
    verdict = SimpleNamespace(status=Status.UNVERIFIED, artifact=object(), reason="needs a Mac")
    bench.float_artifact = lambda: (cast(Verdict, verdict), FLOAT)  # type: ignore[method-assign]
    with pytest.raises(SearchError) as caught:
        searching(bench).find()
    assert caught.value.message == "`t/m.f-q` cannot be searched for here: needs a Mac"
    assert bench.built == []


LAYERS = [Layer(f"layer{n}", error, 100) for n, error in enumerate([0.1, 0.9, 0.3, None, 0.5])]


@pytest.mark.parametrize("enough", [1, 2, 3])
def test_the_fewest_layers_stay_float_and_the_most_sensitive_first(enough: int) -> None:
    tried: list[list[str]] = []

    def passes(mixture: Mixture) -> bool:
        tried.append([layer.name for layer in mixture.kept])
        return len(mixture.kept) >= enough

    found = find(LAYERS, 1000, None, passes)
    assert found is not None
    assert [layer.name for layer in found.kept] == ["layer1", "layer4", "layer2"][:enough]
    assert len(tried) <= 3


def test_layers_stay_float_only_as_far_as_something_is_gained() -> None:
    tried: list[int] = []

    def passes(mixture: Mixture) -> bool:
        tried.append(len(mixture.kept))
        return False

    # A second layer would make it as large as what is there.
    assert find(LAYERS, 1000, 1150, passes) is None
    assert tried == [1]
    assert find(LAYERS, 1000, 1050, passes) is None
    assert tried == [1]


def test_names_with_signs_of_globs_are_exact() -> None:
    mixture = Mixture((Layer("a[0]*", 1.0, 1),))
    made = mixture.of(candidate("w8", "weight-only", keep_float=["head"]), "smallest")
    assert made.profile.keep_float == ("head", "a[[]0][*]")
    assert made.key == "smallest: w8 with 1 layer in float"


def test_the_mildest_of_a_width_is_built_first() -> None:
    bench = Bench(lambda profile: (FLOAT.least(bits(profile)), 0.2))
    found = searching(bench).find()
    assert not found.passed
    assert bench.built == [
        "weight-only 4 channel",
        "weight-only 6 channel",
        "weight-only 8 channel",
        "float16",
    ]
    assert severity(EVERY[1].profile) < severity(EVERY[2].profile)
