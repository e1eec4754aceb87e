"""Routes between formats, on the real declarations."""

from __future__ import annotations

import pytest

from buildsys.backends.base import Backend, Rule
from buildsys.planner.catalog import Catalog
from buildsys.planner.conversion.routes import NoRoute, State, cheapest, refined, without


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def names(
    catalog: Catalog, source: str, method: str, goal: State, way: str | None = None
) -> list[str]:
    steps = cheapest(catalog, source, method, goal, way)
    return [step.rule.name for step in steps]


@pytest.mark.parametrize("method", ["trace", "export"])
def test_a_model_becomes_onnx_from_its_exported_program(catalog: Catalog, method: str) -> None:
    route = names(catalog, "source:factory", method, ("onnx", None))
    assert route == ["torch.export", "onnx.export"]


def test_a_model_that_must_be_scripted_becomes_onnx_from_its_script(catalog: Catalog) -> None:
    route = names(catalog, "source:factory", "script", ("onnx", None))
    assert route == ["torch.capture", "onnx.export"]


def test_either_exporter_by_its_word(catalog: Catalog) -> None:
    program = names(catalog, "source:factory", "trace", ("onnx", None), way="exported")
    assert program == ["torch.export", "onnx.export"]
    trace = names(catalog, "source:factory", "script", ("onnx", None), way="torchscript")
    assert trace == ["torch.capture", "onnx.export"]
    with pytest.raises(NoRoute) as caught:
        cheapest(catalog, "source:factory", "export", ("onnx", None), "torchscript")
    assert caught.value.message.endswith("by `route: torchscript`")
    assert caught.value.hint.endswith("try `route: exported`")


def test_only_options_ask_for_what_refines(catalog: Catalog) -> None:
    route = cheapest(catalog, "source:factory", "trace", ("onnx", None))
    plain = {"simplify": False, "optimize": "none"}
    assert refined(catalog, route, "onnx", plain) == route
    asked = refined(catalog, route, "onnx", {"simplify": True, "optimize": "bert"})
    added = ["onnx.simplify", "onnx.optimize"]
    assert [step.rule.name for step in asked] == ["torch.export", "onnx.export", *added]
    adopted = cheapest(catalog, "source:onnx", "trace", ("onnx", None))
    asked = refined(catalog, adopted, "onnx", {"simplify": False, "optimize": "vit"})
    assert [step.rule.name for step in asked] == ["onnx.adopt", "onnx.optimize"]


def test_what_refines_stands_before_what_quantizes(catalog: Catalog) -> None:
    route = cheapest(catalog, "source:factory", "trace", ("tflite", "dynamic"), "direct")
    tidy = Rule("tflite.tidy", ("tflite",), "tflite", "tflite", "worker:tidy", when=bool)
    more = Backend("more", catalog.backend("tflite").folder, rules=(tidy,))
    steps = refined(Catalog.load([*catalog.backends, more]), route, "tflite", {"tidy": True})
    assert [step.rule.name for step in steps] == [
        "torch.export",
        "tflite.convert",
        "tflite.tidy",
        "tflite.quantize",
    ]


def test_tflite_by_its_two_routes(catalog: Catalog) -> None:
    by_onnx = names(catalog, "source:factory", "trace", ("tflite", None), way="onnx")
    assert by_onnx == ["torch.export", "onnx.export", "tflite.convert"]
    direct = names(catalog, "source:factory", "trace", ("tflite", None), way="direct")
    assert direct == ["torch.export", "tflite.convert"]


def test_the_default_for_a_pytorch_source_is_direct(catalog: Catalog) -> None:
    steps = cheapest(catalog, "source:factory", "trace", ("tflite", None))
    assert steps[-1].rule.route == "direct"


def test_an_onnx_source_takes_the_onnx_route(catalog: Catalog) -> None:
    route = names(catalog, "source:onnx", "trace", ("tflite", None))
    assert route == ["onnx.adopt", "tflite.convert"]


def test_an_onnx_source_becomes_a_program_for_what_takes_nothing_else(catalog: Catalog) -> None:
    route = names(catalog, "source:onnx", "trace", ("tflite", None), way="direct")
    assert route == ["onnx.adopt", "onnx.import", "tflite.convert"]
    for goal, last in (("coreml", "coreml.convert"), ("executorch", "executorch.convert")):
        route = names(catalog, "source:onnx", "trace", (goal, None))
        assert route == ["onnx.adopt", "onnx.import", last]
    # Nobody who has the model itself goes by ONNX.
    for method in ("trace", "export"):
        for goal in ("exported", "coreml", "executorch", "tflite", "mlmodel"):
            route = names(catalog, "source:factory", method, (goal, None))
            assert "onnx.import" not in route


def test_quantization_follows_conversion(catalog: Catalog) -> None:
    route = names(catalog, "source:factory", "trace", ("tflite", "dynamic"), way="direct")
    assert route == ["torch.export", "tflite.convert", "tflite.quantize"]


def test_core_ml_float16_is_one_step_and_eight_bit_weights_are_two(catalog: Catalog) -> None:
    half = names(catalog, "source:factory", "trace", ("coreml", "float16"))
    assert half == ["torch.capture", "coreml.convert"]
    eight = names(catalog, "source:factory", "trace", ("coreml", "weight-only"))
    assert eight == ["torch.capture", "coreml.convert", "coreml.quantize"]


def test_a_missing_route_says_what_would_be_needed(catalog: Catalog) -> None:
    with pytest.raises(NoRoute) as caught:
        cheapest(catalog, "source:onnx", "trace", ("ptl", None))
    assert caught.value.message == "no route leads from onnx to ptl"
    assert "ptl is made from torchscript" in caught.value.hint
    assert "this model can be built as" in caught.value.hint
    assert " onnx," in caught.value.hint


def test_what_a_model_can_be_had_as_without_a_step(catalog: Catalog) -> None:
    by_name = {(rule.name, rule.takes[0]): rule for _, rule in catalog.rules}

    def found(name: str, taken: str) -> tuple[str, ...]:
        return without(catalog, "source:factory", "trace", by_name[name, taken])

    assert {"coreml", "exported", "tflite", "torchscript"} <= set(
        found("onnx.export", "torchscript")
    )
    assert "onnx" not in found("onnx.export", "torchscript")
    # The same format by another route is another way.
    assert "tflite by `route: onnx`" in found("tflite.convert", "exported")
    assert "tflite" not in found("tflite.convert", "exported")
    assert "tflite by `route: direct`" in found("tflite.convert", "onnx")
