"""Core ML models that take pictures and give names of classes, and the neural networks of iOS 14."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buildsys.backends.coreml.rules import CoremlOptions, MlmodelOptions, backend
from tests.support.describing import DIGITS, GRAY, describe
from tests.support.harness import Result, run_worker
from tests.support.scripts import digest, script

pytestmark = pytest.mark.toolchain

INSPECT = Path(__file__).with_name("inspect_model.py")
ROUND = {"image": GRAY | {"std": [0.25]}}
"""`(pixel / 16 - 0.5) / 0.25`: a scale of 0.25 and a bias of -2."""


def convert(
    zoo: Path,
    model: str,
    form: str = "coreml",
    scheme: str | None = None,
    hash_seed: str = "0",
    preprocess: dict[str, Any] | None = None,
    labels: dict[str, Any] | None = None,
    **options: Any,
) -> Result:
    declared = CoremlOptions if form == "coreml" else MlmodelOptions
    told = json.loads((zoo / f"{model}.options.json").read_text()) | {
        "format": declared(**options).model_dump(mode="json"),
        "scheme": scheme,
        "metadata": {"project": "digits", "model": "classifier", "version": "1.2.0"},
        "preprocess": preprocess or {},
        "labels": labels or {},
    }
    return run_worker(
        "coreml",
        "coreml",
        "worker:convert" if form == "coreml" else "convert.network:convert",
        inputs={"artifact": zoo / f"{model}.pt", "io": zoo / f"{model}.io.json"},
        outputs={
            "artifact": "model.mlpackage" if form == "coreml" else "model.mlmodel",
            "io": "io.json",
        },
        options=told,
        hash_seed=hash_seed,
    )


def inspect(model: Path) -> dict[str, Any]:
    return json.loads(script("coreml", INSPECT, str(model)))  # type: ignore[no-any-return]


def classifier(zoo: Path, form: str, **more: Any) -> Result:
    return convert(
        zoo,
        "cnn",
        form,
        preprocess=ROUND,
        labels={"logits": DIGITS},
        image_inputs="auto",
        class_labels=True,
        **more,
    )


@pytest.fixture(scope="module")
def package(zoo: Path) -> Result:
    return classifier(zoo, "coreml")


@pytest.fixture(scope="module")
def network(zoo: Path) -> Result:
    return classifier(zoo, "mlmodel", scheme="float16")


def test_a_package_takes_pictures_and_names_classes(package: Result) -> None:
    found = inspect(package.artifact)
    assert found["inputs"] == {
        "image": {"imageType": {"width": "8", "height": "8", "colorSpace": "GRAYSCALE"}}
    }
    assert list(found["outputs"]) == ["classLabel", "classLabel_probs"]
    assert found["best"] == "classLabel"
    assert found["pixels"] == {"mul": [0.25], "add": [-2.0]}
    image, (numbers, best) = package.io.inputs[0], package.io.outputs
    assert (image.kind, image.shape, image.dtype, image.layout) == ("image", [8, 8], "uint8", "HW")
    assert (numbers.name, numbers.kind, numbers.artifact_name) == (
        *("logits", "probabilities", "classLabel_probs"),
    )
    assert (numbers.shape, best.name, best.kind) == ([1, 10], "classLabel", "label")
    assert (
        "input `image` takes a picture of 8 x 8 (height x width); Core ML makes pixel * 0.25 + (-2) of "
        "it, in the order GRAYSCALE"
    ) in package.notes
    assert any("no softmax is added" in note for note in package.notes)


def test_a_neural_network_does_the_same_for_ios14(network: Result) -> None:
    found = inspect(network.artifact)
    assert (found["kind"], found["specification"]) == ("neuralNetworkClassifier", 4)
    assert found["inputs"]["image"]["imageType"]["colorSpace"] == "GRAYSCALE"
    (pixels,) = found["pixels"]
    assert pixels["scaler"] == {"channelScale": 0.25, "grayBias": -2.0}
    assert found["half"]
    assert [(p.name, p.kind, p.artifact_name) for p in network.io.outputs] == [
        ("logits", "probabilities", "logits"),
        ("classLabel", "label", None),
    ]
    assert network.log == ""


def test_an_array_in_and_two_arrays_out(zoo: Path) -> None:
    done = convert(zoo, "segment", "mlmodel")
    found = inspect(done.artifact)
    assert found["kind"] == "neuralNetwork"
    assert found["inputs"]["photo"]["multiArrayType"]["shape"] == ["1", "3", "12", "20"]
    assert [(p.name, p.shape, p.dtype) for p in done.io.outputs] == [
        ("mask", [1, 2, 12, 20], "float32"),
        ("edges", [1, 4], "float32"),
    ]
    assert not found["half"]


def test_whole_numbers_go_in_as_float32_and_that_is_said(zoo: Path) -> None:
    done = convert(zoo, "text", "mlmodel")
    found = inspect(done.artifact)["inputs"]
    assert [(p.name, p.dtype) for p in done.io.inputs] == [(name, "float32") for name in found]
    assert {t["multiArrayType"]["dataType"] for t in found.values()} == {"FLOAT32"}
    assert "input `ids` is float32 in the Core ML package, int64 in the model" in done.notes


def test_colours_and_a_bias_a_channel(zoo: Path) -> None:
    done = convert(
        zoo,
        "segment",
        image_inputs={"photo": {"scale": 0.5, "bias": [1.0, 2.0, 3.0], "color": "BGR"}},
    )
    found = inspect(done.artifact)
    assert found["inputs"]["photo"]["imageType"]["colorSpace"] == "BGR"
    assert found["pixels"] == {"mul": [0.5], "add": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize("form", ["coreml", "mlmodel"])
def test_the_contract_is_carried_and_read_back(package: Result, network: Result, form: str) -> None:
    source = package if form == "coreml" else network
    done = describe(
        "coreml", "coreml", source, preprocess=ROUND, labels={"logits": DIGITS}, hash_seed="5"
    )
    before, after = inspect(source.artifact), inspect(done.artifact)
    carried = json.loads(after["metadata"].pop("modelbuild.io"))
    assert after == before
    assert carried == json.loads(done.outputs["io"].read_text())
    assert carried["inputs"][0]["preprocess"]["std"] == [0.25]
    assert carried["outputs"][0]["labels"] == DIGITS
    again = describe("coreml", "coreml", done, preprocess=ROUND, labels={"logits": DIGITS})
    assert digest(again.artifact) == digest(done.artifact)
    # A classifier holds the names itself: others are refused.
    if form == "coreml":
        wrong = describe("coreml", "coreml", source, labels={"logits": DIGITS[::-1]})
        assert wrong.message == "the classifier holds other names of classes than the recipe"


def test_equal_inputs_give_equal_bytes(zoo: Path, package: Result, network: Result) -> None:
    assert digest(classifier(zoo, "coreml", hash_seed="7").artifact) == digest(package.artifact)
    other = classifier(zoo, "mlmodel", scheme="float16", hash_seed="7")
    assert digest(other.artifact) == digest(network.artifact)


def test_what_core_ml_cannot_do_exactly_is_refused(zoo: Path) -> None:
    words = GRAY | {"size": [12, 20], "color": "rgb", "std": [0.229, 0.224, 0.225]}
    done = convert(zoo, "segment", preprocess={"photo": words}, image_inputs="auto")
    assert done.message == (
        "`photo` divides each channel by another `std` (0.229, 0.224, 0.225), and Core ML has one "
        "scale for all of a picture"
    )
    assert done.field == "options.image_inputs"


def test_a_classifier_of_two_outputs_is_refused(zoo: Path) -> None:
    done = convert(zoo, "segment", labels={"edges": list("abcd")}, class_labels=True)
    assert done.message == "a classifier has one output, and the model has 2: `mask`, `edges`"
    assert done.field == "options.class_labels"


def test_pictures_for_an_input_that_is_none_are_refused(zoo: Path) -> None:
    done = convert(zoo, "lstm", "mlmodel", image_inputs={"window": {}})
    assert done.message == (
        "`window` is float32 [1, 100, 6], and a picture (RGB) becomes float32 [1, 3, H, W]"
    )


def test_rules() -> None:
    assert {f.name for f in backend.formats} == {"coreml", "mlmodel"}
    for declared in backend.formats:
        assert "Apple hardware" in declared.unverified
        makers = [rule for rule in backend.rules if rule.gives == declared.name]
        assert {o for rule in makers for o in rule.options} == set(declared.options.model_fields)
