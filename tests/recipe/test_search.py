"""What a recipe may say of a search."""

from __future__ import annotations

import pytest

from tests.recipe.project import Project

SEARCH = "  fp16: {scheme: float16}\n"
ENTRY = "{format: tflite, quantization: int8, accept: shipped}"


def searched(
    project: Project, search: str, entry: str = "{format: tflite, quantization: best}"
) -> None:
    project.edit((SEARCH, f"{SEARCH}  best: {search}\n"), (ENTRY, entry))


def test_an_entry_is_held_to_what_its_search_is_subject_to(project: Project) -> None:
    searched(project, "{search: {schemes: [int8, fp16, dynamic], subject_to: shipped}}")
    recipe = project.load()
    search = recipe.spec.quantization["best"].search
    assert search is not None
    assert (search.schemes, search.minimize) == (("int8", "fp16", "dynamic"), "size")
    (entry,) = recipe.spec.targets["android"]
    assert recipe.held_to(entry) == "shipped"
    assert recipe.lock == project.folder / "deploy.lock.yaml"


@pytest.mark.parametrize(
    ("search", "message", "hint"),
    [
        (
            "{search: {schemes: [int9], subject_to: shipped}}",
            "unknown profile or scheme `int9`",
            "did you mean `int8`?",
        ),
        (
            "{search: {schemes: [mixed], subject_to: shipped}}",
            "unknown profile or scheme `mixed`",
            "give the search a profile of the recipe",
        ),
        (
            "{search: {schemes: [int8], subject_to: shiped}}",
            "unknown acceptance `shiped`",
            "did you mean `shipped`?",
        ),
        (
            "{search: {schemes: [best], subject_to: shipped}}",
            "`best` names itself",
            "name what it chooses from",
        ),
        (
            "{search: {schemes: [int8, int8], subject_to: shipped}}",
            "`int8` is named twice",
            "delete one",
        ),
        (
            "{search: {schemes: [static], subject_to: shipped}}",
            "the scheme `static` needs `calibration`",
            "add `calibration: {dataset: NAME, count: 128}` to the search",
        ),
        (
            "{search: {schemes: [static], subject_to: shipped, calibration: {dataset: trian}}}",
            "unknown dataset `trian`",
            "did you mean `train`?",
        ),
        (
            "{search: {schemes: [int8], subject_to: shipped}, bits: 4}",
            "`bits` means nothing beside `search`",
            "say it in the profiles that it chooses from",
        ),
        (
            "{scheme: dynamic, search: {schemes: [int8], subject_to: shipped}}",
            "`scheme` and `search` exclude each other",
            "keep one of `scheme` or `search`",
        ),
        ("{bits: 8}", "one of `scheme` or `search` must be given", None),
        (
            "{search: {schemes: [int8], subject_to: shipped, minimize: weight}}",
            "`quantization.best.search.minimize` cannot be `weight`",
            "allowed: `size`, `latency`",
        ),
        (
            "{search: {schemes: [], subject_to: shipped}}",
            "`quantization.best.search.schemes` must not be empty",
            None,
        ),
    ],
)
def test_a_search_that_cannot_be(
    project: Project, search: str, message: str, hint: str | None
) -> None:
    searched(project, search)
    findings = project.brief()
    assert [(said, told) for _, said, told in findings] == [(message, hint)]
    assert findings[0][0].startswith("deploy.yaml:19:")


def test_an_entry_is_not_held_to_something_else(project: Project) -> None:
    searched(
        project,
        "{search: {schemes: [int8], subject_to: shipped}}",
        "{format: tflite, quantization: best, accept: close}",
    )
    ((place, message, hint),) = project.brief()
    assert message == (
        "the search `best` is subject to `shipped`: what it finds would be held to something else"
    )
    assert hint == "delete `accept`: the entry is held to what the search is subject to"
    assert place.startswith("deploy.yaml:29:")


def test_layers_cannot_be_searched_for(project: Project) -> None:
    project.edit(
        (
            SEARCH,
            f"{SEARCH}  best: {{search: {{schemes: [int8], subject_to: shipped}}}}\n"
            "  both: {scheme: mixed, default: best, layers: {head: float}}\n",
        )
    )
    ((_, message, _),) = project.brief()
    assert message == "`both` gives layers the profile `best`, which is a search"
