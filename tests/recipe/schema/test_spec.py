"""What the schema fills in, and which of its forms are right."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from buildsys.recipe.schema.model import Dim, Requirements
from tests.recipe.project import Project

IMAGE = "{shape: [N, 1, 8, 8], dtype: float32, dims: {N: {max: 8}}}"
SAMPLES = "samples: {dataset: val, count: 32}"


def test_a_symbol_is_one_size_over_all_inputs(project: Project) -> None:
    project.edit(
        ("      image: " + IMAGE, ("      image: {shape: [N, T, 8]}\n"
         "      mask: {shape: [N, T], dims: {T: {min: 4, max: 9}}}")),
        ("samples: {dataset: val, count: 32}", "samples: {random: uniform}"),
        ("    evaluate: {dataset: val, metric: top1}\n", ""),
        (", accept: shipped", ""),
        ("train.npz, inputs: {image: x}", "train.npz"),
    )  # fmt: skip
    inputs = project.load().spec.models["classifier"].inputs
    n, t = Dim(min=1, max=64, example=1), Dim(min=4, max=9, example=4)
    assert inputs["image"].dims == {"N": n, "T": t}
    assert inputs["mask"].dims == {"N": n, "T": t}
    assert inputs["image"].dtype == "float32"


def test_two_descriptions_of_a_symbol(project: Project) -> None:
    project.edit(
        (
            "    outputs:",
            "      mask: {shape: [N], dims: {N: {max: 9}}}\n    outputs:",
        ),
    )
    assert project.brief() == [
        (
            "deploy.yaml:14:33",
            "`N` is described otherwise by another input",
            "a symbol is one size over all inputs: describe it once",
        )
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (SAMPLES, ("val", None, 32, 0)),
        ("samples: {dataset: val}", ("val", None, 32, 0)),
        ("samples: {random: normal}", (None, "normal", 8, 0)),
        ("samples: {random: uniform, count: 3, seed: 5}", (None, "uniform", 3, 5)),
        ("capture: trace", (None, "normal", 8, 0)),
    ],
)
def test_samples(project: Project, written: str, expected: tuple[object, ...]) -> None:
    project.edit((SAMPLES, written))
    samples = project.load().spec.models["classifier"].samples
    assert (samples.dataset, samples.random, samples.count, samples.seed) == expected


def test_random_integers_need_a_range(project: Project) -> None:
    project.edit((SAMPLES, "samples: {random: normal}"), ("float32", "int64"))
    assert project.brief() == [
        (
            "deploy.yaml:13:7",
            "random samples of the int64 input `image` need its range",
            "add `range: [least, greatest]`",
        )
    ]
    project.edit((SAMPLES, "samples: {random: normal}"), ("float32", "int64, range: [0, 9]"))
    lowest, highest = project.load().spec.models["classifier"].inputs["image"].range or (None, None)
    assert (type(lowest), lowest, highest) == (int, 0, 9)


@pytest.mark.parametrize(
    ("written", "bits", "per_channel"),
    [
        ("{scheme: float16}", None, None),
        ("{scheme: weight-only}", 8, True),
        ("{scheme: dynamic, bits: 4, per_channel: false}", 4, False),
    ],
)
def test_defaults_of_profiles(
    project: Project, written: str, bits: int | None, per_channel: bool | None
) -> None:
    project.edit(("{scheme: float16}", written))
    profile = project.load().spec.quantization["fp16"]
    assert (profile.bits, profile.per_channel, profile.symmetric) == (bits, per_channel, None)


def test_calibration_defaults(project: Project) -> None:
    calibration = project.load().spec.quantization["int8"].calibration
    assert calibration is not None
    assert (calibration.dataset, calibration.count, calibration.seed) == ("train", 128, 0)


def test_environments(project: Project) -> None:
    assert project.load().spec.models["classifier"].environment == "builtin"
    project.write("requirements.txt", "")
    project.edit((SAMPLES, SAMPLES + "\n    environment: {requirements: requirements.txt}"))
    environment = project.load().spec.models["classifier"].environment
    assert environment == Requirements(requirements="requirements.txt")


def test_a_metric_of_the_project(project: Project) -> None:
    project.edit(("metric: top1", 'python: "metrics:f1"'))
    evaluate = project.load().spec.models["classifier"].evaluate
    assert evaluate is not None
    assert (evaluate.metric, evaluate.python) == (None, "metrics:f1")


def test_a_dataset_from_python_and_one_of_images(project: Project) -> None:
    project.edit(
        ("source: data/train.npz", 'source: {python: "data:load"}'),
        ("data/val.npz", "data, preprocess: {size: [8, 8], color: gray, mean: [0.5]}"),
    )
    datasets = project.load().spec.datasets
    assert not isinstance(datasets["train"].source, str)
    assert datasets["train"].source.python == "data:load"
    preprocess = datasets["val"].preprocess
    assert preprocess is not None
    assert (preprocess.size, preprocess.mean, preprocess.fit) == ((8, 8), (0.5,), "crop")


def test_preprocessing_for_other_channels_is_refused(project: Project) -> None:
    project.edit(("data/val.npz", "data, preprocess: {size: [8, 8], mean: [0.5, 0.5], std: [0]}"))
    assert [message for _, message, _ in project.brief()] == ["`mean` has 2 numbers for 3 channels"]


def test_labels_of_deployables(project: Project) -> None:
    project.edit(("{format: onnx}", "{format: onnx, name: small}"))
    targets = project.load().spec.targets
    assert [entry.label("ios", "classifier") for entry in targets["ios"]] == [
        "ios/classifier.coreml-fp16",
        "ios/classifier.onnx-small",
    ]


def test_a_spec_does_not_change(project: Project) -> None:
    spec = project.load().spec
    with pytest.raises(ValidationError):
        spec.project = "other"
