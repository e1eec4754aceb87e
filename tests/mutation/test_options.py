"""Each option of each format is changed, wherever a target asks for that format."""

from __future__ import annotations

import pytest

from buildsys.recipe import RecipeError
from tests.mutation import fields, recipe
from tests.mutation.bench import Bench
from tests.mutation.cases import Case, place, put
from tests.mutation.check import complaint
from tests.profile import some

OTHERS: dict[str, tuple[object, ...]] = {
    "coreml.minimum_deployment_target": ("iOS15", "iOS16", "iOS17", "iOS18"),
    "coreml.compute_units": ("all", "cpu_only", "cpu_and_gpu", "cpu_and_ne"),
    "coreml.flexible": (False, True),
    "coreml.author": (None, "", "A"),
    "coreml.license": (None, "", "A"),
    "coreml.description": (None, "", "A"),
    "service.port": (1, 8080, 8000),
    "service.workers": (1, 4),
    "service.threads": (1, 4),
    "service.max_batch": (None, 1, 64),
    "service.max_body_mib": (16, 64),
    "service.request_timeout_s": (60, 1, 30),
    "service.nonfinite_inputs": (False, True),
    "torchserve.workers": (1, 4),
    "torchserve.threads": (1, 4),
    "torchserve.response_timeout_s": (120, 60),
    "torchserve.nonfinite_inputs": (False, True),
    "triton.max_batch_size": (None, 0, 64),
    "triton.instance_count": (1, 4),
    "triton.kind": ("auto", "cpu", "gpu"),
    "triton.dynamic_batching": (True, False),
    "triton.preferred_batch_sizes": ([], [4], [4, 8]),
    "triton.max_queue_delay_us": (0, 100),
    "executorch.backend": ("coreml", "portable", "xnnpack"),
    "coreml.image_inputs": (None, "auto", {"image": {}}, {"image": {"scale": 0.5}}),
    "coreml.class_labels": (False, True),
    "mlmodel.image_inputs": (None, "auto", {"image": {}}, {"image": {"color": "GRAYSCALE"}}),
    "mlmodel.class_labels": (True, False),
    "mlmodel.author": (None, "", "A"),
    "mlmodel.license": (None, "", "A"),
    "mlmodel.description": (None, "", "A"),
    "onnx.opset": (None, 9, 20, 24),
    "onnx.simplify": (False, True),
    "onnx.optimize": ("none", "gpt2", "bert"),
    "onnx.num_heads": (0, 2, 12),
    "onnx.hidden_size": (0, 64, 96),
    "onnx_external.opset": (None, 9, 20, 24),
    "onnx_external.threshold_kib": (4, 1, 1024),
    "ort.optimization": ("none", "basic", "extended"),
    "ort_config.optimization": ("extended", "none", "basic"),
    "ort_config.type_reduction": (False, True),
    "tensorrt.precision": ("fp32", "tf32", "fp16"),
    "tensorrt.optimize_for": ({}, {"N": 1}, {"N": 8}),
    "tensorrt.workspace_mib": (1, 1024, 1025),
    "tensorrt.builder_optimization_level": (0, 3, 5),
    "torch_tensorrt.precision": ("fp32", "tf32", "fp16"),
    "torch_tensorrt.optimize_for": ({}, {"N": 1}, {"N": 8}),
    "torch_tensorrt.workspace_mib": (1, 1024, 1025),
    "torch_tensorrt.builder_optimization_level": (0, 3, 5),
}
"""Values that an option may have; what it was is none of them, or one."""
STEPS = {
    "coreml": "coreml.convert",
    # Sizes that stay open are run at their ends, which is no news to the steps of another model.
    "coreml.flexible": "coreml.convert coreml.evaluate verify.measure",
    "coreml.flexible-targets.ios.1": "coreml.convert coreml.evaluate verify.measure",
    "service": "service.make",
    "torchserve": "torchserve.make",
    "triton": "triton.make",
    "executorch": "executorch.convert",
    "mlmodel": "mlmodel.convert",
    "onnx": "onnx.export",
    "onnx_external": "onnx_external.export",
    "ort": "ort.convert",
    "ort_config": "ort.list",
    "onnx.simplify": "onnx.simplify",
    "onnx.optimize": "onnx.optimize",
    "onnx.num_heads": "onnx.optimize",
    "onnx.hidden_size": "onnx.optimize",
    "tensorrt": "tensorrt.build",
    "torch_tensorrt": "torch_tensorrt.compile",
}
"""What reads the options of a format, or one of them."""
WITH = {
    "onnx.num_heads": {"optimize": "bert"},
    "onnx.hidden_size": {"optimize": "bert"},
}
"""What else must be asked for, lest an option means nothing."""


def _entry_of(format_name: str) -> str:
    """The first entry that asks for a format."""
    for target, entries in recipe.tree()["targets"].items():
        for number, entry in enumerate(entries):
            if entry["format"] == format_name:
                return f"targets.{target}.{number}"
    raise KeyError(format_name)


ENTRIES = {name.partition(".")[0]: (_entry_of(name.partition(".")[0]),) for name in OTHERS} | {
    "coreml": ("targets.ios.0", "targets.ios.1"),
}
"""Entries that ask for a format."""


def test_every_option_has_a_change() -> None:
    assert sorted(fields.options()) == sorted(OTHERS)
    assert {name.partition(".")[0] for name in OTHERS} == set(ENTRIES)
    assert {name.partition(".")[0] for name in STEPS} == set(ENTRIES)


@pytest.mark.parametrize(
    ("option", "entry"),
    some((name, entry) for name in fields.options() for entry in ENTRIES[name.partition(".")[0]]),
)
def test_a_changed_option_is_seen(bench: Bench, option: str, entry: str) -> None:
    format_name, _, name = option.partition(".")
    change = put(f"{entry}.options", {**given(entry, option), name: OTHERS[option][-1]})
    steps = STEPS.get(f"{option}-{entry}") or STEPS.get(option, STEPS[format_name])
    assert complaint(bench, Case(option, change, steps)) is None


@pytest.mark.parametrize("option", OTHERS)
def test_each_value_of_an_option_is_another_build(bench: Bench, option: str) -> None:
    format_name, _, name = option.partition(".")
    entry = ENTRIES[format_name][0]
    seen = set()
    for value in OTHERS[option]:
        tree = recipe.tree()
        place(tree, f"{entry}.options", {**given(entry, option), name: value})
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


def given(entry: str, option: str) -> dict[str, object]:
    """An entry's options as they are, with what an option needs beside it."""
    _, target, index = entry.split(".")
    found: dict[str, object] = recipe.tree()["targets"][target][int(index)].get("options", {})
    return {**found, **WITH.get(option, {})}
