"""Each option of each format is changed, wherever a target asks for that format."""

from __future__ import annotations

import pytest

from buildsys.recipe import RecipeError
from tests.mutation import fields, recipe
from tests.mutation.bench import Bench
from tests.mutation.cases import Case, place, put
from tests.mutation.check import complaint

OTHERS: dict[str, tuple[object, ...]] = {
    "coreml.minimum_deployment_target": ("iOS15", "iOS16", "iOS17", "iOS18"),
    "coreml.compute_units": ("all", "cpu_only", "cpu_and_gpu", "cpu_and_ne"),
    "coreml.flexible": (False, True),
    "coreml.author": (None, "", "A"),
    "coreml.license": (None, "", "A"),
    "coreml.description": (None, "", "A"),
    "onnx.opset": (None, 9, 20, 24),
}
"""Values that an option may have; what it was is none of them, or one."""
STEPS = {"coreml": "coreml.convert", "onnx": "onnx.export"}
ENTRIES = {"coreml": ("targets.ios.0", "targets.ios.1"), "onnx": ("targets.ios.2",)}
"""Entries that ask for a format."""


def test_every_option_has_a_change() -> None:
    assert sorted(fields.options()) == sorted(OTHERS)
    assert {name.partition(".")[0] for name in OTHERS} == set(ENTRIES) == set(STEPS)


@pytest.mark.parametrize(
    ("option", "entry"),
    [(name, entry) for name in fields.options() for entry in ENTRIES[name.partition(".")[0]]],
)
def test_a_changed_option_is_seen(bench: Bench, option: str, entry: str) -> None:
    format_name, _, name = option.partition(".")
    change = put(f"{entry}.options", {**given(entry), name: OTHERS[option][-1]})
    assert complaint(bench, Case(option, change, STEPS[format_name])) is None


@pytest.mark.parametrize("option", OTHERS)
def test_each_value_of_an_option_is_another_build(bench: Bench, option: str) -> None:
    format_name, _, name = option.partition(".")
    entry = ENTRIES[format_name][0]
    seen = set()
    for value in OTHERS[option]:
        tree = recipe.tree()
        place(tree, f"{entry}.options", {**given(entry), name: value})
        bench.write(tree)
        seen.add(bench.look().essence())
    assert len(seen) == len(OTHERS[option])


def test_an_option_that_no_step_reads_is_refused(bench: Bench) -> None:
    """What a report says of an artifact has to be true of it."""
    tree = recipe.tree()
    tree["targets"]["server"][0] |= {"models": ["graph"], "options": {"opset": 18}}
    tree["targets"]["server"][2]["models"] = ["program"]
    bench.write(tree)
    try:
        seen = bench.seen()
    except RecipeError:
        return
    assert "onnx.adopt" in seen.rules


def given(entry: str) -> dict[str, object]:
    """An entry's options as they are."""
    _, target, index = entry.split(".")
    found: dict[str, object] = recipe.tree()["targets"][target][int(index)].get("options", {})
    return found
