"""What an app hands over and gets, made of the model's arrays and back: pictures, dictionaries."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from buildsys.backends.coreml.features import Features
from buildsys.backends.coreml.pixels import KEY, Pixels
from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.kit.protocol.request import StepError
from buildsys.backends.kit.run import batches

PHOTO = Port("photo", [4, 5], "uint8", layout="HW", artifact_name="photo_", kind="image")
SCALE, BIAS = 1 / 127.5, (-1.0, -0.5, 0.25)
PICTURE = np.random.default_rng(1).integers(0, 256, (4, 5, 3)).astype(np.uint8)


def features(color: str, bias: tuple[float, ...] = BIAS, **outputs: Any) -> Features:
    contract = Contract([PHOTO], [Port(name, **port) for name, port in outputs.items()])
    return Features(contract, {KEY + "photo_": Pixels(SCALE, bias, color).text()})


@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_an_array_becomes_the_picture_that_it_was(color: str) -> None:
    ordered = PICTURE if color == "RGB" else PICTURE[..., ::-1]
    scaled = ordered.astype(np.float64) * SCALE + np.array(BIAS)
    array = scaled.astype(np.float32).transpose(2, 0, 1)[None]
    made = features(color)
    (found,) = made.given({"photo": array}).values()
    assert found.dtype == np.uint8
    assert np.array_equal(found, PICTURE)
    assert made.notes == []


def test_a_grey_picture_has_two_axes_and_no_bias_is_none() -> None:
    array = (PICTURE[..., 0] * SCALE).astype(np.float32)[None, None]
    (found,) = features("GRAYSCALE", ()).given({"photo": array}).values()
    assert np.array_equal(found, PICTURE[..., 0])


@pytest.mark.parametrize("shift", [0.3, 300])
def test_what_no_picture_has_is_fed_as_it_is_and_told(shift: float) -> None:
    pixels = PICTURE.astype(np.float64) + shift
    array = (pixels * SCALE + np.array(BIAS)).astype(np.float32).transpose(2, 0, 1)[None]
    made = features("RGB")
    for _ in range(2):
        (found,) = made.given({"photo": array}).values()
    assert found.dtype == np.float32
    assert np.abs(found - pixels).max() < 1e-3
    (note,) = made.notes
    assert note.startswith("samples of `photo` are not pictures: their pixels, from ")


def test_a_package_that_does_not_say_how_it_scales() -> None:
    with pytest.raises(StepError, match="does not say how it scales the pixels of `photo`"):
        Features(Contract([PHOTO], []), {})


def test_the_numbers_are_metadata_of_one_form() -> None:
    text = Pixels(0.5, (-1.0,), "GRAYSCALE").text()
    assert json.loads(text) == {"bias": [-1.0], "color": "GRAYSCALE", "scale": 0.5}


def test_a_dictionary_becomes_an_array_in_the_order_of_the_labels() -> None:
    port: dict[str, Any] = {"shape": [1, 3], "dtype": "float64", "kind": "probabilities"}
    label: dict[str, Any] = {"shape": [], "dtype": "str", "kind": "label"}
    named = {"emu": 0.1, "cat": 0.7, "dog": 0.2}
    for labels, wanted in ((["cat", "dog", "emu"], [0.7, 0.2, 0.1]), (None, [0.1, 0.7, 0.2])):
        made = features("RGB", scores=port | {"labels": labels}, best=label)
        taken = made.taken({"scores": named, "best": "cat"})
        assert list(taken) == ["scores"]
        assert taken["scores"].tolist() == [wanted]
    made = features("RGB", scores=port | {"labels": ["cat", "dog", "fox"]})
    with pytest.raises(StepError, match="the classes of `scores` are others in the package"):
        made.taken({"scores": named})


def test_samples_of_a_picture_have_the_sizes_of_the_model() -> None:
    ports = [{"name": "photo", "shape": [1, 3, 4, 5], "dims": {}, "dtype": "float32"}]
    plan = batches.plan(ports, Contract([PHOTO], []), dynamic=False)
    assert (plan.shapes, plan.first) == ({"photo": [1, 3, 4, 5]}, 1)
