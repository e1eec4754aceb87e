"""Recipes from file to `Recipe`, and the errors that people see most."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from buildsys.recipe import Diagnostic, Recipe, RecipeError, find, load
from tests.recipe.project import Project

OUTPUTS = "outputs: {logits: {}}"
IMAGE = "{shape: [N, 1, 8, 8], dtype: float32, dims: {N: {max: 8}}}"


def test_a_right_recipe(project: Project) -> None:
    recipe = project.load()
    assert recipe.path == project.path
    assert recipe.folder == project.folder
    assert recipe.files == (project.path,)
    assert dict(recipe.environment) == {}
    assert recipe.warnings == ()
    model = recipe.spec.models["classifier"]
    assert model.source.checkpoint == "weights.safetensors"
    assert model.inputs["image"].shape == ("N", 1, 8, 8)
    assert recipe.spec.acceptance["close"].limit("signal_error") == 1e-4
    assert recipe.resolve("data/val.npz") == project.folder / "data" / "val.npz"


def test_where_things_are_written(project: Project) -> None:
    recipe = project.load()

    def spot(*keys: str | int) -> tuple[int, int, int]:
        place = recipe.where(*keys)
        return place.line, place.column, place.length

    assert spot("models", "classifier", "source", "checkpoint") == (11, 19, 19)
    assert spot("targets", "ios", 1, "format") == (26, 16, 4)
    assert spot("targets", "ios", 1) == (26, 7, 14)
    # What is left out is said of the part that would hold it.
    assert spot("models", "classifier", "capture") == (7, 3, 10)
    assert spot("models", "classifier", "source", "onnx") == (8, 5, 6)
    assert spot("toolchains") == (1, 1, 7)
    key = recipe.where_key("models", "classifier", "source", "checkpoint")
    assert (key.line, key.column, key.length) == (11, 7, 10)


def test_unknown_key_as_it_is_shown(project: Project) -> None:
    project.edit(("quantization: fp16,", "quantisation: fp16,"))
    assert project.rendered() == (
        "error: unknown key `quantisation`\n"
        "  --> deploy.yaml:25:24\n"
        "   |\n"
        "25 |     - {format: coreml, quantisation: fp16, accept: close}\n"
        "   |                        ^^^^^^^^^^^^\n"
        "hint: did you mean `quantization`?"
    )


@pytest.mark.parametrize(
    ("old", "new", "where", "message", "hint"),
    [
        # keys
        ("project:", "projet:", "1:1", "the recipe has no `project`", None),
        ("version: 1\n", "", "1:1", "the recipe has no `version`", "add `version: 1`"),
        ("factory:", "qqq: 1\n      factory:", "9:7", "unknown key `qqq`",
         "allowed here: `factory`, `args`, `checkpoint`, `files`, `torchscript`, `exported`, `onnx`, "
         "`model`"),
        ("{max: 8}", "{maximum: 8}", "13:63", "unknown key `maximum`", "did you mean `max`?"),
        (IMAGE, "{dtype: float32}", "13:7", "`models.classifier.inputs.image` has no `shape`", None),
        ("  ios:\n", "  iso:\n", "24:3", "unknown target `iso`",
         "did you mean `ios`? allowed: `ios`, `android`, `server`, `web`, `edge`"),
        ("  ios:\n", "  phone:\n", "24:3", "unknown target `phone`",
         "allowed: `ios`, `android`, `server`, `web`, `edge`"),
        # types
        ("version: 1", "version: 2", "1:10", "version the number 2 of the recipe is not known",
         "write `version: 1`"),
        ("count: 32", "count: many", "15:36",
         "`models.classifier.samples.count` must be a whole number, not the text `many`", None),
        ("count: 32", 'count: "32"', "15:36",
         "`models.classifier.samples.count` must be a whole number, not the text `32`",
         "write it without quotes"),
        ("count: 32", "count: 32.0", "15:36",
         "`models.classifier.samples.count` must be a whole number, not the number 32.0",
         "write `32`"),
        ("count: 32", "count: true", "15:36",
         "`models.classifier.samples.count` must be a whole number, not `true`", None),
        ("count: 32", "count: 1", "15:36",
         "`models.classifier.samples.count` must be at least 2, not the number 1", None),
        ("project: digits", "project: digits\nrelease: 1.10", "3:10",
         "`release` must be text, not the number 1.1", 'write it in quotes: `"1.10"`'),
        ("project: digits", "project: 5", "2:10", "`project` must be text, not the number 5",
         'write it in quotes: `"5"`'),
        ("project: digits", "project: Digits", "2:10", "`Digits` is not a project name",
         "small letters, digits, `-` and `_`, not `-` or `_` first"),
        ("static, calibration", "static, per_channel: yes, calibration", "19:39",
         "`quantization.int8.per_channel` must be `true` or `false`, not the text `yes`",
         "write `true`"),
        ("signal_error: 1e-4", "signal_error: .nan", "21:25",
         "`acceptance.close.signal_error` must be a finite number, not the number nan", None),
        ("signal_error: 1e-4", "signal_error: -1", "21:25",
         "`acceptance.close.signal_error` must be at least 0, not the number -1", None),
        (OUTPUTS, "outputs: [logits]", "14:14",
         "`models.classifier.outputs` must be a mapping, not a list", None),
        (OUTPUTS, "outputs: {logits: }", "14:15",
         "`models.classifier.outputs.logits` must be a mapping, not empty",
         "write `{}` for an empty one"),
        (OUTPUTS, "outputs: {}", "14:14", "`models.classifier.outputs` must not be empty", None),
        ("    - {format: onnx}\n", "    - onnx\n", "26:7",
         "`targets.ios[1]` must be a mapping, not the text `onnx`", None),
        ("  android:\n    - {format: tflite, quantization: int8, accept: shipped}\n",
         "  android: []\n", "27:12", "`targets.android` must not be empty", None),
        ("samples:", "environment: hots\n    samples:", "15:18",
         "`models.classifier.environment` cannot be `hots`",
         "did you mean `host`? allowed: `builtin`, `host`"),
        ("samples:", "environment: 3\n    samples:", "15:18",
         ("`models.classifier.environment` must be `builtin`, `host` or `{requirements: FILE}`, "
         "not the number 3"), None),
        ("source: data/train.npz", "source: [a]", "4:19",
         '`datasets.train.source` must be a path, or `{python: "module:callable"}`, not a list',
         None),
        # names and entry points
        ("acceptance:\n", "acceptance:\n  f p: {rmse: 1}\n", "21:3", "`f p` is not a name",
         "letters, digits, `-` and `_`, a letter or digit first"),
        ("model:build", "model.build", "9:16", "`model.build` is not `module:callable`",
         "for example `model:build`"),
        ("width: 16", "width: {deep: [.inf]}", "10:29",
         "`models.classifier.source.args.width.deep[0]` must be a finite number, not the number inf",
         None),
        ("acceptance:\n  close: {signal_error: 1e-4}\n  shipped: {metric_drop: 0.01}\n",
         "acceptance: [close]\n", "20:13", "`acceptance` must be a mapping, not a list", None),
        # shapes
        ("[N, 1, 8, 8]", "[N, 0, 8, 8]", "13:26", "an axis has at least 1 element, not 0",
         "a size that may vary is a symbol: `N`"),
        ("[N, 1, 8, 8]", "[N, -1x, 8, 8]", "13:26", "`-1x` is not a size",
         "write a whole number, or a symbol such as `N`"),
        ("{N: {max: 8}}", "{N: {max: 8}, M: {}}", "13:72", "`M` is not a symbol of the shape",
         "symbols of the shape: `N`"),
        ("{max: 8}", "{min: 9, max: 8}", "13:76", "`min` 9 is above `max` 8", None),
        ("{max: 8}", "{max: 8, example: 9}", "13:80", "`example` 9 is not within 1 to 8", None),
        (IMAGE, "{shape: [N, 8], range: [2, 1]}", "13:37",
         "the least value of `range` is above the greatest", None),
        (IMAGE, "{shape: [N, 8], dtype: uint8, range: [-1, 9]}", "13:51",
         "`uint8` holds 0 to 255", "narrow the range, or take a wider `dtype`"),
        (IMAGE, "{shape: [N, 8], dtype: int32, range: [0, 0.5]}", "13:51",
         "`int32` holds whole numbers only", None),
        (IMAGE, "{shape: [N, 8], range: [1]}", "13:30",
         "`models.classifier.inputs.image.range` has no item 2", None),
        (IMAGE, "{shape: [N, 8], layout: NCHW}", "13:38", "`NCHW` has 4 letters for 2 axes", None),
        # one of several
        ("args:", "onnx: data/val.npz\n      args:", "10:7", "`factory` and `onnx` exclude each other",
         "keep one of `factory`, `torchscript`, `exported`, `onnx` or `model`"),
        ("factory: model:build\n      args: {width: 16}", "onnx: data/val.npz", "10:7",
         "`checkpoint` needs a `factory`",
         "a `onnx` file holds its own weights: delete `checkpoint`"),
        ("factory: model:build\n      ", "", "8:5",
         "one of `factory`, `torchscript`, `exported`, `onnx` or `model` must be given", None),
        ("dataset: val, count: 32", "dataset: val, seed: 1", "15:29", "`seed` needs `random`",
         "the first samples of a dataset are taken"),
        ("metric: top1", 'metric: top1, python: "m:f"', "16:44",
         "`metric` and `python` exclude each other", "keep one of `metric` or `python`"),
        # profiles and tolerances
        ("static, calibration: {dataset: train}", "static", "19:18",
         "the scheme `static` needs `calibration`",
         "add `calibration: {dataset: NAME, count: 128}`"),
        ("{scheme: float16}", "{scheme: float16, bits: 8}", "18:27",
         "`bits` means nothing to the scheme `float16`", "delete it"),
        ("{signal_error: 1e-4}", "{}", "21:3", "no bound is given",
         "add one, for example `signal_error: 1e-3`"),
        # references
        ("accept: close", "accept: clsoe", "25:52", "unknown acceptance `clsoe`",
         "did you mean `close`?"),
        ("quantization: int8", "quantization: w8", "28:38", "unknown quantization profile `w8`",
         "defined are: `fp16`, `int8`"),
        ("dataset: val, count", "dataset: vla, count", "15:24", "unknown dataset `vla`",
         "did you mean `val`?"),
        ("{dataset: train}", "{dataset: trian}", "19:49", "unknown dataset `trian`",
         "did you mean `train`?"),
        ("{format: onnx}", "{format: onnx, models: [classifier, other]}", "26:43",
         "unknown model `other`", "defined are: `classifier`"),
        # files
        ("weights.safe", "weigths.safe", "11:19", "no checkpoint `weigths.safetensors`",
         "did you mean `weights.safetensors`?"),
        ("data/train.npz", "dta/train.npz", "4:19", "no dataset `dta/train.npz`",
         "did you mean `data`?"),
        ("data/train.npz", "data/zzz.npz", "4:19", "no dataset `data/zzz.npz`",
         "`data` holds `train.npz`, `val.npz`"),
        ("weights.safetensors", "data", "11:19", "the checkpoint `data` is a folder",
         "name a file in it"),
        ("weights.safetensors", "deploy.yaml", "11:19", "a checkpoint cannot be read from `.yaml` files",
         "known are `.safetensors`, `.pt`, `.pth`, `.bin`; save the weights as `.safetensors`"),
        ("samples:", "environment: {requirements: req.txt}\n    samples:", "15:33",
         "no requirements file `req.txt`",
         "the folder of the recipe holds `data`, `deploy.yaml`, `weights.safetensors`"),
        ("acceptance:", "toolchains: {onnx: {lock: my.lock}}\nacceptance:", "20:27",
         "no lock file `my.lock`",
         "the folder of the recipe holds `data`, `deploy.yaml`, `weights.safetensors`"),
        # parts that do not fit together
        ("{format: onnx}", "{format: coreml, quantization: fp16}", "26:7",
         "two deployables would have the label `ios/classifier.coreml-fp16`",
         "give one of them a `name`"),
        ("outputs:", "  mask: {shape: [N, 8]}\n    outputs:", None, None, None),
        ("val.npz, inputs: {image: x}, labels: y", "val.npz, inputs: {image: x}", "16:38",
         "the metric `top1` needs labels, and the dataset `val` has none",
         "name its array of labels: `labels: y`"),
        ("val.npz, inputs: {image: x}, labels: y", "val.npz, inputs: {image: x}, labels: [y, z]", "16:38",
         "the metric `top1` takes one array of labels, and the dataset `val` has 2",
         "name one, or compute the metric yourself: `python: module:callable`"),
        ("metric: top1", "metric: top1, resamples: 9", "16:44",
         "`resamples` needs a metric in `python`",
         "what is built in draws as often as it must: delete it"),
        ("    evaluate: {dataset: val, metric: top1}\n", "", "27:52",
         "`shipped` bounds `metric_drop`, and the model `classifier` has no `evaluate`",
         "add `evaluate: {dataset: NAME, metric: top1}` to `models.classifier`"),
        ("source: data/train.npz", "source: data", "4:19", "the folder of images `data` needs `preprocess`",
         "say how a picture becomes an array: `preprocess: {size: [224, 224]}`"),
        ("train.npz, inputs", "train.npz, preprocess: {size: [8, 8]}, inputs", "4:35",
         "`preprocess` needs a folder of images as the `source`", "delete it"),
    ],
)  # fmt: skip
def test_one_error(
    project: Project, old: str, new: str, where: str | None, message: str | None, hint: str | None
) -> None:
    project.edit((old, new))
    found = project.brief()
    if message is None:
        assert {each[1] for each in found} == {
            "the dataset `val` has nothing for the input `mask` of `classifier`",
            "the dataset `train` has nothing for the input `mask` of `classifier`",
        }
        return
    # A misspelt key is two errors: the one that is unknown, and the one that is missing.
    assert (f"deploy.yaml:{where}", message, hint) in found
    assert len([each for each in found if "unknown key `projet`" not in each[1]]) == 1


def test_all_errors_at_once_in_the_order_of_lines(project: Project) -> None:
    project.edit(
        ("project: digits", "projekt: digits"),
        ("width: 16", 'width: "${UNSET}"'),
        ("weights.safetensors", "weights.pkl"),
        ("metric: top1", "metric: top"),
        ("{scheme: float16}", "{scheme: float61}"),
        ("accept: close", "accept: clsoe"),
        ("  android:", "  android:\n    - {}\n  android:"),
    )
    assert [(where, message) for where, message, _ in project.brief()] == [
        ("deploy.yaml:1:1", "the recipe has no `project`"),
        ("deploy.yaml:2:1", "unknown key `projekt`"),
        ("deploy.yaml:10:22", "the environment variable `UNSET` is not set"),
        ("deploy.yaml:11:19", "no checkpoint `weights.pkl`"),
        ("deploy.yaml:16:38", "`models.classifier.evaluate.metric` cannot be `top`"),
        ("deploy.yaml:18:18", "`quantization.fp16.scheme` cannot be `float61`"),
        ("deploy.yaml:25:52", "unknown acceptance `clsoe`"),
        ("deploy.yaml:28:7", "`targets.android[0]` has no `format`"),
        ("deploy.yaml:29:3", "duplicate key `android`"),
    ]


def test_an_error_behind_an_alias_is_said_once_where_it_is_written(project: Project) -> None:
    project.edit(
        ("version: 1\n", "version: 1\nx-source: &source {factory: model:build, chekpoint: a.pt}\n"),
        (
            (
                "    source:\n      factory: model:build\n      args: {width: 16}\n"
                "      checkpoint: weights.safetensors\n"
            ),
            "    source: *source\n",
        ),
    )
    assert project.rendered() == (
        "error: unknown key `chekpoint`\n"
        " --> deploy.yaml:2:42\n"
        "  |\n"
        "2 | x-source: &source {factory: model:build, chekpoint: a.pt}\n"
        "  |                                          ^^^^^^^^^\n"
        " ::: deploy.yaml:9:13\n"
        "  |\n"
        "9 |     source: *source\n"
        "  |             ------- brought in by this alias\n"
        "hint: did you mean `checkpoint`?"
    )


def test_an_error_behind_a_merge_key_used_twice(project: Project) -> None:
    project.edit(
        ("version: 1\n", "version: 1\nx-base: &base\n  accept: clsoe\n"),
        ("{format: coreml, quantization: fp16, accept: close}", "{<<: *base, format: coreml}"),
        ("{format: onnx}", "{<<: *base, format: onnx}"),
    )
    assert project.rendered() == (
        "error: unknown acceptance `clsoe`\n"
        "  --> deploy.yaml:3:11\n"
        "   |\n"
        " 3 |   accept: clsoe\n"
        "   |           ^^^^^\n"
        "  ::: deploy.yaml:27:12\n"
        "   |\n"
        "27 |     - {<<: *base, format: coreml}\n"
        "   |            ----- merged in here\n"
        "  ::: deploy.yaml:28:12\n"
        "   |\n"
        "28 |     - {<<: *base, format: onnx}\n"
        "   |            ----- merged in here\n"
        "hint: did you mean `close`?"
    )


def test_a_file_that_is_not_utf_8(project: Project) -> None:
    project.write("deploy.yaml", "é: 1\nab: ".encode() + b"\xff\n")
    assert project.brief() == [
        ("deploy.yaml:2:5", "the file is not UTF-8 text", "save it as UTF-8")
    ]


def test_a_byte_order_mark_is_no_text(project: Project) -> None:
    project.write("deploy.yaml", b"\xef\xbb\xbf" + project.path.read_bytes())
    assert project.load().where("version").column == 10


def test_a_recipe_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / "none.yaml", environ={})
    assert str(caught.value) == (
        f"error: `{tmp_path}/none.yaml` cannot be read: No such file or directory\n"
        "hint: name a recipe with `--file`"
    )
    with pytest.raises(RecipeError, match="cannot be read: Is a directory"):
        load(tmp_path, environ={})


def test_find_looks_upwards(project: Project) -> None:
    below = project.folder / "a" / "b"
    below.mkdir(parents=True)
    assert find(below) == project.path
    with pytest.raises(RecipeError) as caught:
        find(below, "no-such-recipe.yaml")
    assert str(caught.value) == (
        f"error: no `no-such-recipe.yaml` in `{below}` or any folder above it\n"
        "hint: go to your project, or name one with `--file`"
    )


def test_further_checks_see_a_recipe_and_add_findings(project: Project) -> None:
    def check(recipe: Recipe) -> list[Diagnostic]:
        place = recipe.where("targets", "ios", 0, "format")
        return [Diagnostic(f"no format `{recipe.spec.targets['ios'][0].format}`", place)]

    project.edit(("weights.safe", "weigths.safe"))
    assert [(where, message) for where, message, _ in project.brief(check)] == [
        ("deploy.yaml:11:19", "no checkpoint `weigths.safetensors`"),
        ("deploy.yaml:25:16", "no format `coreml`"),
    ]


def test_further_checks_are_spared_unknown_names(project: Project) -> None:
    def check(recipe: Recipe) -> list[Diagnostic]:
        raise AssertionError("called")

    project.edit(("accept: close", "accept: none"))
    assert [message for _, message, _ in project.brief(check)] == ["unknown acceptance `none`"]


def test_warnings_do_not_stop(project: Project) -> None:
    def check(recipe: Recipe) -> list[Diagnostic]:
        return [Diagnostic("slow", recipe.where("project"), severity="warning")]

    assert [each.message for each in project.load(check).warnings] == ["slow"]


def test_reading_a_recipe_needs_no_arrays() -> None:
    code = "import sys, buildsys.recipe; print({'numpy', 'torch'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "set()\n"
