"""Each field of the schema is changed: exactly the steps that read it have other manifests."""

from __future__ import annotations

import pytest

from buildsys.recipe import RecipeError
from tests.mutation import fields, recipe
from tests.mutation.bench import Bench
from tests.mutation.cases import (
    CASES,
    MEANS_NOTHING,
    NEUTRAL_CHANGES,
    ONE_VALUE,
    WORDS,
    Case,
    keys,
    part,
    place,
    put,
)
from tests.mutation.check import complaint
from tests.profile import some

OF_ONE_VALUE = {
    "version": ("version", range(5)),
}


def test_every_declared_field_has_a_change() -> None:
    declared = set(fields.declared())
    known = {case.field for case in CASES} | set(ONE_VALUE) | set(MEANS_NOTHING)
    assert sorted(declared - known) == [], "these fields have no change in `cases.py`"
    assert sorted(known - declared) == [], "these fields are not declared any more"


def test_changes_have_names_of_their_own() -> None:
    names = [case.id for case in CASES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", some(CASES), ids=lambda case: case.id)
def test_a_changed_field_is_seen(bench: Bench, case: Case) -> None:
    assert complaint(bench, case) is None


@pytest.mark.parametrize(
    "field",
    some(f for f in fields.declared() if len(fields.values(f)) > 1 and f not in MEANS_NOTHING),
)
def test_each_word_of_a_field_is_another_build(bench: Bench, field: str) -> None:
    path, refused = WORDS[field]
    seen = {}
    for word in fields.values(field):
        tree = recipe.tree()
        place(tree, path, word)
        bench.write(tree)
        try:
            seen[word] = bench.look().essence()
        except RecipeError:
            assert word in refused
    assert set(seen) == set(fields.values(field)) - refused
    assert len(set(seen.values())) == len(seen) > 1


@pytest.mark.parametrize("field", ONE_VALUE)
def test_a_field_of_one_value_takes_no_other(bench: Bench, field: str) -> None:
    path, values = OF_ONE_VALUE[field]
    taken = []
    for value in values:
        tree = recipe.tree()
        place(tree, path, value)
        bench.write(tree)
        try:
            bench.look()
        except RecipeError:
            continue
        taken.append(value)
    assert taken == [part(recipe.tree(), keys(path))], ONE_VALUE[field]


@pytest.mark.parametrize("field", MEANS_NOTHING)
def test_what_means_nothing_changes_nothing(bench: Bench, field: str) -> None:
    tree = recipe.tree()
    NEUTRAL_CHANGES[field](tree)
    bench.write(tree)
    before = bench.stamps()
    build = bench.build()
    assert (bench.runner.ran, bench.shown(build)) == ([], bench.report), MEANS_NOTHING[field]
    assert bench.stamps() == before


def test_a_default_that_is_written_out_means_nothing(bench: Bench) -> None:
    tree = recipe.tree()
    put("models.hosted.capture", "trace")(tree)
    put("models.hosted.samples", {"random": "normal", "count": 8, "seed": 0})(tree)
    put("models.hosted.inputs.image.dtype", "float32")(tree)
    put("models.hosted.inputs.image.dims", {"N": {"min": 1, "max": 64, "example": 1}})(tree)
    put("models.scripted.environment", "builtin")(tree)
    put("models.hosted.source.args", {})(tree)
    put("quantization.w8", {"scheme": "weight-only", "bits": 8, "per_channel": True})(tree)
    put("quantization.dyn.keep_float", [])(tree)
    put("targets.server.1.options", {})(tree)
    put("targets.ios.1.options", {"compute_units": "all", "flexible": False})(tree)
    bench.write(tree)
    bench.build()
    assert bench.runner.ran == []
