"""What a recipe says for apps: how a picture becomes an input, and the names of classes."""

from __future__ import annotations

import pytest

from tests.recipe.project import Project
from tests.recipe.schema.test_json_schema import errors

IMAGE = "dims: {N: {max: 8}}}"
OUTPUTS = "outputs: {logits: {}}"


def preprocess(text: str, more: str = "") -> tuple[str, str]:
    return IMAGE, f"dims: {{N: {{max: 8}}}}, {more}preprocess: {{{text}}}}}"


def labels(text: str) -> tuple[str, str]:
    return OUTPUTS, f"outputs: {{logits: {{labels: {text}}}}}"


def test_both_are_read(project: Project) -> None:
    project.write("names.txt", "a\nb\n")
    project.edit(preprocess("size: [8, 8], color: gray, mean: [0.5]"), labels("[cat, 'two words']"))
    model = project.load().spec.models["classifier"]
    words = model.inputs["image"].preprocess
    assert words is not None
    assert (words.size, words.color, words.mean, words.layout) == ((8, 8), "gray", (0.5,), "NCHW")
    assert model.outputs["logits"].labels == ("cat", "two words")
    project.edit(labels("names.txt"))
    assert project.load().spec.models["classifier"].outputs["logits"].labels == "names.txt"


def test_sizes_that_vary_take_any_picture(project: Project) -> None:
    project.edit(("[N, 1, 8, 8]", "[N, C, H, W]"), preprocess("size: [64, 32]"))
    assert project.load().spec.models["classifier"].inputs["image"].preprocess is not None


def test_a_picture_without_a_batch(project: Project) -> None:
    project.edit(
        ("[N, 1, 8, 8], dtype: float32, dims: {N: {max: 8}}}",
         "[8, 9, 3], preprocess: {size: [8, 9], layout: NHWC}}"),
    )  # fmt: skip
    assert project.load().spec.models["classifier"].inputs["image"].preprocess is not None


@pytest.mark.parametrize(
    ("edit", "where", "message", "hint"),
    [
        (preprocess("size: [8, 9], color: gray"), "13:92",
         "`preprocess` gives NCHW with W = 9, and the input has 8 there", None),
        (preprocess("size: [8, 8]"), "13:73",
         "`preprocess` gives NCHW with C = 3, and the input has 1 there", None),
        (preprocess("size: [8, 8], color: rgb"), "13:107",
         "`preprocess` gives NCHW with C = 3, and the input has 1 there", None),
        (preprocess("size: [8, 8], color: gray", "layout: NHWC, "), "13:87",
         "`preprocess` gives NCHW, and the input has the layout `NHWC`",
         "set `layout` in both to what the model takes"),
        (("[N, 1, 8, 8], dtype: float32, dims: {N: {max: 8}}}",
          "[N, 8], preprocess: {size: [8, 8]}}"), "13:30",
         "a picture has 4 axes (NCHW), or 3 without a batch, not 2", None),
        (preprocess("size: [8, 8], std: [0]"), "13:105",
         "a standard deviation of 0 cannot be divided by", None),
        (preprocess("size: [8, 8], scale: 0"), "13:107",
         "a `scale` of 0 makes all pictures the same", None),
        (preprocess("size: [8, 8], colour: gray"), "13:100",
         "unknown key `colour`", "did you mean `color`?"),
        (labels("[]"), "14:32", "`models.classifier.outputs.logits.labels` must not be empty", None),
        (labels("[cat, 7]"), "14:38",
         "`models.classifier.outputs.logits.labels[1]` must be text, not the number 7",
         'write it in quotes: `"7"`'),
        (labels('["a", " "]'), "14:38", "` ` is not a name of a class",
         "it is one line, and not empty"),
        (labels("{a: 1}"), "14:32",
         "`models.classifier.outputs.logits.labels` must be a list of names, or a file with one name "
         "a line, not a mapping", None),
        (labels("naems.txt"), "14:32", "no file of labels `naems.txt`",
         "the folder of the recipe holds `data`, `deploy.yaml`, `weights.safetensors`"),
    ],
)  # fmt: skip
def test_errors(
    project: Project, edit: tuple[str, str], where: str, message: str, hint: str | None
) -> None:
    project.edit(edit)
    assert project.brief() == [(f"deploy.yaml:{where}", message, hint)]


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        (labels("[cat, dog]"), ""),
        (labels("names.txt"), ""),
        (labels("[]"), "models/classifier/outputs/logits/labels"),
        (labels("[1]"), "models/classifier/outputs/logits/labels"),
        (labels("7"), "models/classifier/outputs/logits/labels"),
        (preprocess("size: [8, 8], color: gray"), ""),
        (preprocess("size: [8]"), "models/classifier/inputs/image/preprocess"),
        (preprocess("size: [8, 8], colour: gray"), "models/classifier/inputs/image/preprocess"),
    ],
)
def test_what_an_editor_marks(project: Project, edit: tuple[str, str], where: str) -> None:
    project.edit(edit)
    found = errors(project.path.read_text())
    assert bool(found) is bool(where)
    assert all(each.startswith(where) for each in found)
