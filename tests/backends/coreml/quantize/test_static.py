"""Activations as integers in ranges that the evaluator found, and layers with profiles of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backends.coreml.packages import convert, inspect, quantize
from tests.backends.coreml.test_evaluation import error, known, run
from tests.support.harness import Result
from tests.support.scripts import digest

pytestmark = pytest.mark.toolchain


@pytest.fixture(scope="module")
def cnn(zoo: Path) -> Result:
    return convert(zoo, "cnn", minimum_deployment_target="iOS18")


@pytest.fixture
def samples(zoo: Path, tmp_path: Path) -> tuple[Path, Mapping[str, Any]]:
    return known(zoo, "cnn", tmp_path)


def widths(made: Result) -> dict[str, tuple[float, float]]:
    return {each["name"]: tuple(each["ranges"][0]) for each in made.json("ranges")["tensors"]}


def test_ranges_are_of_all_samples(
    zoo: Path, cnn: Result, samples: tuple[Path, Mapping[str, Any]], tmp_path: Path
) -> None:
    images = np.load(samples[0])["image"]
    assert np.abs(images[-1]).max() < np.abs(images).max()
    done = quantize(zoo, "cnn", cnn, samples[0], scheme="static", calibration={"method": "min-max"})
    assert done.notes[:2] == [
        "activations of 5 operations are int8: 2 conv, 1 linear, 2 max_pool",
        "ranges of activations by min-max, as asked for",
    ]
    assert done.json("ranges")["runs"] == 16
    assert widths(done)["image"] == pytest.approx((images.min(), images.max()), rel=1e-6)
    operations = inspect(done.artifact)["operations"]
    assert (operations.count("conv"), operations.count("linear")) == (2, 1)
    assert operations.count("quantize") >= 3
    assert operations.count("constexpr_blockwise_shift_scale") == 2
    ran = run(zoo, "cnn", done, samples[0])
    assert 1e-3 < error(ran.arrays()["logits"], samples[1]["logits"]) < 0.1
    again = quantize(
        zoo,
        "cnn",
        cnn,
        samples[0],
        scheme="static",
        calibration={"method": "min-max"},
        hash_seed="9",
        threads=1,
    )
    assert digest(again.artifact) == digest(done.artifact)


def test_the_best_of_all_methods_is_kept(
    zoo: Path, cnn: Result, samples: tuple[Path, Mapping[str, Any]]
) -> None:
    done = quantize(
        zoo, "cnn", cnn, samples[0], scheme="static", symmetric=False, keep_float=["head.*"]
    )
    tried = done.json("ranges")["tried"]
    assert list(tried) == ["min-max", "moving-average", "percentile", "entropy", "mse"]
    assert done.json("ranges")["method"] == min(tried, key=tried.__getitem__)
    assert done.notes[0] == "activations of 4 operations are int8: 2 conv, 2 max_pool"
    assert done.notes[-1].endswith("kept by the recipe: 2")
    assert error(run(zoo, "cnn", done, samples[0]).arrays()["logits"], samples[1]["logits"]) < 0.1


def test_layers_with_profiles_of_their_own(
    zoo: Path, cnn: Result, samples: tuple[Path, Mapping[str, Any]]
) -> None:
    int8 = {"scheme": "static", "bits": 8, "calibration": {"method": "entropy"}}
    small = {"scheme": "weight-only", "bits": 4, "palette": "kmeans"}
    layers = [["type:linear", small], ["type:max_pool", None]]
    done = quantize(zoo, "cnn", cnn, samples[0], scheme="mixed", default=int8, layers=layers)
    assert done.notes[0] == "activations of 2 operations are int8: 2 conv"
    assert [note for note in done.notes if "weights are" in note] == [
        note for note in done.notes if note.startswith(("4,608 of", "1,280 of"))
    ]
    operations = inspect(done.artifact)["operations"]
    assert operations.count("constexpr_lut_to_dense") == 1
    assert error(run(zoo, "cnn", done, samples[0]).arrays()["logits"], samples[1]["logits"]) < 0.3
    wrong = quantize(
        zoo, "cnn", cnn, samples[0], scheme="mixed", default=int8, layers=[["haed.*", small]]
    )
    assert wrong.field == "quantization.layers"
    assert "`head_bias`" in wrong.message


def test_integers_and_an_output_that_is_read_within(zoo: Path, tmp_path: Path) -> None:
    given, wanted = known(zoo, "text", tmp_path)
    source = convert(zoo, "text", minimum_deployment_target="iOS17")
    done = quantize(zoo, "text", source, given, scheme="static", calibration={"method": "mse"})
    assert error(run(zoo, "text", done, given).arrays()["scores"], wanted["scores"]) < 0.1


def test_a_mask_stays_in_float(masked: Path, tmp_path: Path) -> None:
    given, wanted = known(masked, "masked", tmp_path)
    source = convert(masked, "masked", minimum_deployment_target="iOS17")
    least = {"method": "min-max"}
    done = quantize(masked, "masked", source, given, scheme="static", calibration=least)
    assert any(
        note.startswith("1 operator stays in float: there is a mask") for note in done.notes
    ), done.notes
    found = run(masked, "masked", done, given).arrays()
    assert max(error(found[name], wanted[name]) for name in ("scores", "states")) < 0.05


def test_what_cannot_be_is_refused(zoo: Path, samples: tuple[Path, Mapping[str, Any]]) -> None:
    old = convert(zoo, "cnn", minimum_deployment_target="iOS16")
    refused = quantize(zoo, "cnn", old, samples[0], scheme="static")
    assert refused.message == "activations as integers need iOS17 or later"
    assert refused.field == "options.minimum_deployment_target"
