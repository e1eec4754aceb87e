"""One change or more for each declared field, with the steps whose own manifest must change by it.

The steps are told apart: it is not enough that something runs. A field that one step reads and that
is missing from its key would go unseen behind another step that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.mutation.recipe import Tree

Keys = tuple[str | int, ...]
Change = Callable[[Tree], None]

CHECKS = "triton.check"
"""They are told of a model's inputs, and read its outputs from contracts."""
CAPTURES = "torch.capture torch.export"
ORIGINALS = f"{CAPTURES} torch.reference torch.floor torch.weights torch.rounded"
TRANSFORMS = "torch.prune torch.finetune torch.distill torch.qat"
RUNS = "onnx.run tflite.run coreml.evaluate torchscript.run service.run torchserve.run"
PACKAGES = "service.make torchserve.make triton.make"
CONVERSIONS = "coreml.convert mlmodel.convert onnx.export tflite.convert tflite.quantize"
ADDED = "coreml.quantize"
NAMED = f"coreml.convert mlmodel.convert {PACKAGES}"
"""Steps that write the names of project, model and release into what they make."""
DESCRIPTIONS = (
    "coreml.describe mlmodel.describe onnx.describe tflite.describe torchscript.describe "
    "service.describe torchserve.describe triton.describe"
)
OF_THE_MODEL = f"{ORIGINALS} {CONVERSIONS} {ADDED} {PACKAGES} {RUNS} onnx.quantize"
"""All steps of `classifier` that are told of its inputs."""
TIMED = "tflite.benchmark"
"""Of `classifier`, by a bound on its latency; told of inputs alone."""
OF_THE_ENCODER = (
    "torch.export torch.reference torch.floor torch.weights coreml.convert coreml.quantize "
    "coreml.evaluate tflite.convert tflite.run"
)
OF_TOOLCHAIN_ONNX = (
    "onnx.adopt onnx.run onnx.floor onnx.weights onnx_external.run onnx_external.weights onnx.describe "
    "onnx.simplify ort.convert ort.list ort.run onnx.quantize onnx.benchmark onnx_external.benchmark"
)
NOTHING = ""
"""No step has to do with it: verdicts, labels, places or the report tell."""
SOMETHING = "*"
"""Whichever steps; and to refuse the change is an answer too."""


@dataclass(frozen=True)
class Case:
    """A change of one field.

    Attributes:
        field: As `fields.declared` names it.
        change: Makes it.
        rules: The rules of the steps whose manifests are new.
        name: Tells cases of one field apart.
    """

    field: str
    change: Change
    rules: str
    name: str = ""

    @property
    def id(self) -> str:
        """Names the test."""
        return f"{self.field}:{self.name}" if self.name else self.field


def keys(path: str) -> Keys:
    """`targets.ios.0` as keys."""
    return tuple(int(part) if part.isdecimal() else part for part in path.split("."))


def part(tree: Tree, at: Keys) -> Any:
    """What lies under some keys."""
    found: Any = tree
    for key in at:
        found = found[key]
    return found


def place(tree: Tree, path: str, value: Any) -> None:
    """Puts a value where it is to stand, whatever stands there."""
    *above, last = keys(path)
    part(tree, tuple(above))[last] = value


def put(path: str, value: Any) -> Change:
    """Gives a field another value; `None` takes it away."""

    def change(tree: Tree) -> None:
        *above, last = keys(path)
        holder = part(tree, tuple(above))
        assert repr(holder.get(last)) != repr(value)
        if value is None:
            del holder[last]
        else:
            holder[last] = value

    return change


def rename(path: str, name: str, *same: str) -> Change:
    """Gives what lies under a name another one, in its place; also where else it is a key.

    What refers to it by its name follows.
    """

    def change(tree: Tree) -> None:
        old = keys(path)[-1]
        for where in (path, *same):
            *above, last = keys(where)
            holder = part(tree, tuple(above))
            assert last in holder
            entries = [(name if key == last else key, value) for key, value in holder.items()]
            holder.clear()
            holder.update(entries)
        _refer(tree, str(old), name)

    return change


def _refer(value: Any, old: str, new: str) -> None:
    """Has what refers to an old name refer to the new one."""
    if isinstance(value, list):
        for each in value:
            _refer(each, old, new)
    elif isinstance(value, dict):
        for key, below in value.items():
            if key in REFERENCES and below == old:
                value[key] = new
            elif key == "models" and isinstance(below, list):
                value[key] = [new if each == old else each for each in below]
            else:
                _refer(below, old, new)


REFERENCES = ("dataset", "quantization", "accept")


def swap(path: str) -> Change:
    """Turns the order of a mapping's names round."""

    def change(tree: Tree) -> None:
        holder = part(tree, keys(path))
        entries = list(reversed(holder.items()))
        assert len(entries) > 1
        holder.clear()
        holder.update(entries)

    return change


SOURCE = "models.classifier.source"
IMAGE = "models.classifier.inputs.image"
PHOTO = "models.hosted.inputs.image.preprocess"
PICTURES = "datasets.photos.preprocess"
INT8 = "quantization.int8"
ENTRY = "targets.ios.0"


def _put(field: str, path: str, value: Any, rules: str, name: str = "") -> Case:
    return Case(field, put(path, value), rules, name)


def _preprocess(name: str, value: Any) -> Case:
    field = f"datasets.{{name}}.preprocess.{name}"
    return _put(field, f"{PICTURES}.{name}", value, "data.images")


def _port(name: str, value: Any) -> Case:
    field = f"models.{{name}}.inputs.{{name}}.{name}"
    given = name.replace("{name}", "N")
    return _put(field, f"{IMAGE}.{given}", value, f"{OF_THE_MODEL} {TIMED} {CHECKS} data.sample")


OF_THE_PHOTO = "onnx.describe torchscript.describe ort.describe ort_config.describe"


def _described(name: str, value: Any) -> Case:
    field = f"models.{{name}}.inputs.{{name}}.preprocess.{name}"
    return _put(field, f"{PHOTO}.{name}", value, OF_THE_PHOTO)


def _profile(name: str, value: Any, rules: str = "tflite.quantize") -> Case:
    return _put(f"quantization.{{name}}.{name}", f"{INT8}.{name}", value, rules)


def _ranged(name: str, value: Any) -> Case:
    return _put(
        f"quantization.{{name}}.{name}", f"quantization.ranged.{name}", value, "onnx.quantize"
    )


PRUNED = {
    "amount": 0.4,
    "norm": "l2",
    "scope": "global",
    "steps": 3,
    "multiple": 4,
    "keep": ["tail"],
    "floor": 0.06,
}
ROUNDED = {
    "bits": 5,
    "per_channel": True,
    "grid": "narrow",
    "activations": "int8",
    "keep_float": ["tail"],
}
TRAINED = (
    ("python", "training:other", "torch.{kind}"),
    ("dataset", "val", "data.sample"),
    ("count", 59, "data.sample"),
    ("seed", 9, "torch.{kind} data.sample"),
    ("args", {"epochs": 3}, "torch.{kind}"),
)
"""Fields of `train` with other values, and what reads them."""


def _transform(number: int, kind: str, name: str, value: Any, rules: str = "") -> Case:
    field = f"models.{{name}}.transforms.[].{kind}.{name}"
    path = f"models.slim.transforms.{number}.{kind}.{name}"
    return _put(field, path, value, rules or f"torch.{kind}")


ASKED = {
    "schemes": ["dyn", "w8"],
    "minimize": "latency",
    "subject_to": "small",
    "calibration.dataset": "val",
    "calibration.count": 65,
    "calibration.seed": 3,
    "calibration.method": "mse",
    "calibration.percentile": 99.6,
}
"""Fields of a search with other values."""


def _asked(name: str, value: Any) -> Change:
    def change(tree: Tree) -> None:
        if name == "calibration.method":
            del tree["quantization"]["asked"]["search"]["calibration"]["percentile"]
        put(f"quantization.asked.search.{name}", value)(tree)

    return change


def move(path: str, name: str) -> Change:
    """Puts what lies under a name under another one, which nothing refers to."""

    def change(tree: Tree) -> None:
        *above, last = keys(path)
        holder = part(tree, tuple(above))
        holder[name] = holder.pop(last)

    return change


def _bound(name: str, value: float, rules: str = NOTHING) -> Case:
    return _put(f"acceptance.{{name}}.{name}", f"acceptance.everything.{name}", value, rules)


OF_OUTPUTS = {
    "signal_error": 0.021,
    "max_abs": 0.031,
    "max_rel": 0.041,
    "mean_abs": 0.051,
    "rmse": 0.061,
    "cosine": 0.971,
    "sqnr_db": 21,
    "top1_agreement": 0.961,
}
"""Bounds on outputs, with another limit than the recipe's."""
OF_ARTIFACTS = {"metric_drop": 0.014, "size_ratio": 1.41, "latency_ratio": 1.51}
AGAINST_EARLIER = {
    "max_size_ratio": 1.11,
    "max_latency_ratio": 1.21,
    "max_error_ratio": 2.1,
    "max_metric_loss": 0.011,
}
OUTPUT_BOUNDS, LOGITS_BOUNDS = (
    "acceptance.{name}.outputs.{name}",
    "acceptance.everything.outputs.logits",
)
TARGET_BOUNDS, WEB_BOUNDS = (
    "acceptance.{name}.targets.{name}",
    "acceptance.everything.targets.web",
)

OF_BENCHMARKS = (
    "exported.benchmark executorch.benchmark onnx.benchmark onnx_external.benchmark "
    "torch_tensorrt.benchmark"
)
EXPORTED = "exported.run exported.describe"


def _benchmark(name: str, value: int) -> Case:
    field = f"models.{{name}}.benchmark.{name}"
    return _put(field, f"models.program.benchmark.{name}", value, OF_BENCHMARKS)


def _entry(name: str, path: str, value: Any, rules: str, case: str = "") -> Case:
    return _put(f"targets.{{name}}.[].{name}", path, value, rules, case)


CASES = (
    _put("project", "project", "fuller", NAMED),
    _put("release", "release", "1.2.1", NAMED),
    _put("release", "release", None, NAMED, "dropped"),
    _put("include", "include", ["common/other.yaml"], NOTHING),
    # Datasets
    _put("datasets.{name}.source", "datasets.train.source", "data/more.npz", "data.sample"),
    _put(
        "datasets.{name}.source",
        "datasets.photos.source",
        "data/pictures",
        "data.images",
        "folder",
    ),
    _put(
        "datasets.{name}.source.files", "datasets.coded.source.files", ["loading.py"], "data.load"
    ),
    _put(
        "datasets.{name}.source.python",
        "datasets.coded.source.python",
        "loading:load_all",
        "data.load",
    ),
    _put("datasets.{name}.inputs", "datasets.val.inputs.image", "x2", "data.sample"),
    _put("datasets.{name}.inputs", "datasets.coded.inputs.ids", "x2", "data.sample", "coded"),
    _put("datasets.{name}.inputs", "datasets.photos.inputs.image", "x2", "data.sample", "folder"),
    _put("datasets.{name}.labels", "datasets.val.labels", "y2", "data.sample"),
    _put("datasets.{name}.labels", "datasets.coded.labels", ["y", "y2"], "data.sample", "several"),
    _put("datasets.{name}.limit", "datasets.val.limit", 511, "data.sample"),
    _put("datasets.{name}.limit", "datasets.val.limit", None, "data.sample", "dropped"),
    _put("datasets.{name}.limit", "datasets.train.limit", 255, "data.sample", "calibration"),
    _put("datasets.{name}.limit", "datasets.coded.limit", 63, "data.load data.sample", "coded"),
    _put("datasets.{name}.limit", "datasets.photos.limit", 15, "data.images data.sample", "folder"),
    _preprocess("size", [8, 9]),
    _preprocess("fit", "pad"),
    _preprocess("crop_fraction", 0.876),
    _preprocess("interpolation", "lanczos"),
    _preprocess("color", "rgb"),
    _preprocess("scale", 0.0101),
    _preprocess("mean", [0.51]),
    _preprocess("std", [0.251]),
    _preprocess("layout", "NHWC"),
    # Models
    Case("models.{name}", rename("models.classifier", "digits"), NAMED),
    _put("models.{name}.source.factory", f"{SOURCE}.factory", "model:make", ORIGINALS),
    _put("models.{name}.source.args", f"{SOURCE}.args.width", 17, ORIGINALS),
    _put("models.{name}.source.args", f"{SOURCE}.args.names", ["b", "a"], ORIGINALS, "list"),
    _put("models.{name}.source.args", f"{SOURCE}.args.deep.rate", 0.51, ORIGINALS, "deep"),
    _put("models.{name}.source.args", f"{SOURCE}.args.width", 16.0, ORIGINALS, "type"),
    _put("models.{name}.source.args", f"{SOURCE}.args.deep.rate", None, ORIGINALS, "dropped"),
    _put(
        "models.{name}.source.checkpoint",
        f"{SOURCE}.checkpoint",
        "older.safetensors",
        ORIGINALS,
    ),
    _put("models.{name}.source.checkpoint", f"{SOURCE}.checkpoint", None, ORIGINALS, "dropped"),
    _put("models.{name}.source.files", f"{SOURCE}.files", ["layers.py"], ORIGINALS),
    _put("models.{name}.source.files", f"{SOURCE}.files", [], ORIGINALS, "none"),
    _put(
        "models.{name}.source.torchscript",
        "models.scripted.source.torchscript",
        "files/scripted-2.pt",
        "torch.adopt torch.weights",
    ),
    _put(
        "models.{name}.source.exported",
        "models.program.source.exported",
        "files/program-2.pt2",
        "torch.adopt torch.weights",
    ),
    _put(
        "models.{name}.source.onnx",
        "models.graph.source.onnx",
        "files/graph-2.onnx",
        "onnx.adopt onnx.run onnx.floor onnx.weights",  # The file itself is the reference.
    ),
    Case(
        "models.{name}.inputs.{name}",
        rename(IMAGE, "picture", "datasets.val.inputs.image", "datasets.train.inputs.image"),
        f"{OF_THE_MODEL} {TIMED} {CHECKS} data.sample",
    ),
    Case(
        "models.{name}.inputs.{name}",
        swap("models.encoder.inputs"),
        f"{OF_THE_ENCODER} data.sample",
        "order",
    ),
    _port("shape", ["N", 1, 8, 9]),
    _port("dtype", "float64"),
    Case(
        "models.{name}.inputs.{name}.dims.{name}",
        lambda tree: (
            put(f"{IMAGE}.shape", ["M", 1, 8, 8])(tree),
            rename(f"{IMAGE}.dims.N", "M")(tree),
        )[0],
        f"{OF_THE_MODEL} {TIMED} {CHECKS} data.sample",
    ),
    _port("dims.{name}.min", 2),
    _port("dims.{name}.max", 65),
    _port("dims.{name}.example", 3),
    _put(
        "models.{name}.inputs.{name}.range",
        "models.encoder.inputs.ids.range",
        [0, 98],
        f"{OF_THE_ENCODER} data.sample",
    ),
    _port("layout", "NDHW"),
    Case(
        "models.{name}.outputs.{name}",
        rename(
            "models.classifier.outputs.logits",
            "scores",
            "acceptance.everything.outputs.logits",
            "acceptance.everything.targets.web.outputs.logits",
        ),
        f"{OF_THE_MODEL} verify.measure verify.original {DESCRIPTIONS}",
    ),
    Case(
        "models.{name}.outputs.{name}",
        swap("models.classifier.outputs"),
        f"{OF_THE_MODEL} verify.measure verify.original {DESCRIPTIONS}",
        "order",
    ),
    _put(
        "models.{name}.outputs.{name}.layout",
        "models.classifier.outputs.logits.layout",
        "AB",
        SOMETHING,
    ),
    _described("size", [8, 9]),
    _described("fit", "pad"),
    _described("crop_fraction", 0.876),
    _described("interpolation", "lanczos"),
    _described("color", "rgb"),
    _described("scale", 0.0101),
    _described("mean", [0.51]),
    _described("std", [0.251]),
    _described("layout", "NHWC"),
    _put(
        "models.{name}.outputs.{name}.labels",
        "models.classifier.outputs.logits.labels",
        ["zero", "two"],
        f"{DESCRIPTIONS} mlmodel.convert",
    ),
    _put(
        "models.{name}.outputs.{name}.labels",
        "models.classifier.outputs.logits.labels",
        "files/names.txt",
        f"{DESCRIPTIONS} mlmodel.convert",
        "file",
    ),
    _put(
        "models.{name}.outputs.{name}.labels",
        "models.classifier.outputs.embedding.labels",
        None,
        f"{DESCRIPTIONS} mlmodel.convert",
        "dropped",
    ),
    _put(
        "models.{name}.samples.dataset", "models.classifier.samples.dataset", "train", "data.sample"
    ),
    _put("models.{name}.samples.random", "models.encoder.samples.random", "normal", "data.sample"),
    _put("models.{name}.samples.count", "models.classifier.samples.count", 33, "data.sample"),
    _put("models.{name}.samples.count", "models.encoder.samples.count", 7, "data.sample", "random"),
    _put("models.{name}.samples.seed", "models.encoder.samples.seed", 4, "data.sample"),
    _put("models.{name}.environment", "models.classifier.environment", "host", ORIGINALS),
    _put(
        "models.{name}.environment.requirements",
        "models.encoder.environment.requirements",
        "others.txt",
        "torch.export torch.reference torch.floor torch.weights data.load data.metric",
    ),
    _put(
        "models.{name}.evaluate.dataset",
        "models.classifier.evaluate.dataset",
        "photos",
        "data.sample",
    ),
    _put(
        "models.{name}.evaluate.metric",
        "models.classifier.evaluate.metric",
        "mae",
        "verify.measure",
    ),
    _put(
        "models.{name}.evaluate.resamples",
        "models.encoder.evaluate.resamples",
        51,
        "data.metric",
    ),
    _benchmark("threads", 1),
    _benchmark("warmup", 6),
    _benchmark("runs", 101),
    _benchmark("batch", 3),
    _benchmark("starts", 5),
    _put(
        "models.{name}.evaluate.python",
        "models.encoder.evaluate.python",
        "metrics:other",
        "data.metric",
    ),
    _put("models.{name}.capture", "models.classifier.capture", "script", "torch.capture"),
    # Quantization
    Case("quantization.{name}", rename(INT8, "eight"), NOTHING),
    _put("quantization.{name}.scheme", "quantization.dyn.scheme", "weight-only", "tflite.quantize"),
    _profile("per_channel", False),
    _profile("symmetric", True),
    _put("quantization.{name}.symmetric", f"{INT8}.symmetric", None, "tflite.quantize", "dropped"),
    _put("quantization.{name}.bits", "quantization.pal.bits", 6, ADDED),
    _put("quantization.{name}.palette", "quantization.pal.palette", "kmeans", ADDED),
    _put("quantization.{name}.palette", "quantization.pal.palette", None, ADDED, "dropped"),
    _put("quantization.{name}.block_size", "quantization.pal.block_size", 32, ADDED),
    _put("quantization.{name}.sparsity", "quantization.pal.sparsity", 0.5, ADDED),
    _ranged("activations", "int8"),
    _ranged("calibration.percentile", 99.9),
    _put(
        "quantization.{name}.calibration.method",
        "quantization.searched.calibration.method",
        "entropy",
        "onnx.quantize",
    ),
    _put("quantization.{name}.default", "quantization.layered.default", "dyn", SOMETHING),
    _put("quantization.{name}.layers", "quantization.layered.layers", {"*": "w8"}, "onnx.quantize"),
    Case(
        "quantization.{name}.layers",
        swap("quantization.layered.layers"),
        "onnx.quantize",
        "order",
    ),
    _profile("keep_float", ["body.*"]),
    _put(
        "quantization.{name}.keep_float",
        "quantization.half.keep_float",
        ["body.*"],
        "tflite.quantize",
        "float16",
    ),
    _put(
        "quantization.{name}.keep_float",
        "quantization.fp16.keep_float",
        ["body.*"],
        SOMETHING,
        "coreml",
    ),
    _profile("calibration.dataset", "val", "data.sample"),
    _profile("calibration.count", 129, "data.sample"),
    _profile("calibration.seed", 8, "data.sample"),
    # Transforms
    _put("models.{name}.source.model", "models.slim.source.model", "twin", SOMETHING),
    *(_transform(0, "prune", name, value) for name, value in PRUNED.items()),
    _transform(1, "prune", "method", "structured"),
    _transform(3, "distill", "teacher", "twin"),
    *(_transform(4, "qat", name, value) for name, value in ROUNDED.items()),
    *(
        _transform(number, kind, f"train.{name}", value, rules.format(kind=kind))
        for number, kind in ((0, "prune"), (2, "finetune"), (3, "distill"), (4, "qat"))
        for name, value, rules in TRAINED
    ),
    # Acceptance
    Case("acceptance.{name}", rename("acceptance.everything", "all"), NOTHING),
    *(_bound(name, value) for name, value in {**OF_OUTPUTS, **OF_ARTIFACTS}.items()),
    _put("acceptance.{name}.weights", "acceptance.everything.weights", "traced", NOTHING),
    _put("acceptance.{name}.targets.{name}.weights", f"{WEB_BOUNDS}.weights", "traced", NOTHING),
    *(
        _put(f"{OUTPUT_BOUNDS}.{name}", f"{LOGITS_BOUNDS}.{name}", value, NOTHING)
        for name, value in OF_OUTPUTS.items()
    ),
    Case(OUTPUT_BOUNDS, move(LOGITS_BOUNDS, "embedding"), NOTHING),
    *(
        _put(f"{TARGET_BOUNDS}.{name}", f"{WEB_BOUNDS}.{name}", value, NOTHING)
        for name, value in {**OF_OUTPUTS, **OF_ARTIFACTS}.items()
    ),
    Case(TARGET_BOUNDS, move(WEB_BOUNDS, "ios"), NOTHING),
    *(
        _put(
            f"{TARGET_BOUNDS}.outputs.{{name}}.{name}",
            f"{WEB_BOUNDS}.outputs.logits.{name}",
            value,
            NOTHING,
        )
        for name, value in OF_OUTPUTS.items()
    ),
    Case(
        f"{TARGET_BOUNDS}.outputs.{{name}}",
        move(f"{WEB_BOUNDS}.outputs.logits", "embedding"),
        NOTHING,
    ),
    *(
        _put(f"{section}.floor_ratio", f"acceptance.floored{path}.floor_ratio", 61, NOTHING)
        for section, path in {
            "acceptance.{name}": "",
            OUTPUT_BOUNDS: ".outputs.hidden",
            TARGET_BOUNDS: ".targets.server",
            f"{TARGET_BOUNDS}.outputs.{{name}}": ".targets.server.outputs.embedding",
        }.items()
    ),
    # Targets
    Case("targets.{name}", rename("targets.ios", "edge"), NOTHING),
    _entry("format", "targets.server.1.format", "exported", EXPORTED),
    _entry("quantization", "targets.android.3.quantization", "w8", "tflite.quantize"),
    _entry("quantization", "targets.android.1.quantization", None, NOTHING, "dropped"),
    # It bounds the latency.
    _entry("accept", "targets.ios.2.accept", "everything", "onnx.benchmark"),
    _entry("accept", "targets.ios.2.accept", None, NOTHING, "dropped"),
    _entry("options", f"{ENTRY}.options", None, "coreml.convert", "dropped"),
    _entry("route", "targets.android.2.route", "onnx", "onnx.export tflite.convert"),
    _entry("models", "targets.server.1.models", ["classifier"], NOTHING),
    # Among them one whose original is its ONNX file: that runs where it says, and then as shipped.
    _entry(
        "models",
        "targets.server.0.models",
        None,
        "onnx.export onnx.run verify.measure torch.export torch.floor torch.reference torch.weights",
        "dropped",
    ),
    _entry("name", "targets.android.2.name", "simple", NOTHING),
    # Toolchains
    Case(
        "toolchains.{name}",
        rename("toolchains.onnx", "tflite"),
        f"{OF_TOOLCHAIN_ONNX} tflite.quantize tflite.run tflite.weights tflite.describe {TIMED}",
    ),
    _put("toolchains.{name}.lock", "toolchains.onnx.lock", "locks/older.txt", OF_TOOLCHAIN_ONNX),
)

ONE_VALUE = {
    "version": "there is one version of this form",
}
"""Fields with one valid value, which is the default or has to be given."""

MEANS_NOTHING = {
    "datasets.{name}": "a dataset's name is for the recipe to refer to it: only its rows count",
    **{
        f"quantization.{{name}}.search.{name}": "no step is told of a search: its answer stands in the lock"
        for name in ASKED
    },
    **{
        f"{place}.{name}": "`report --against` judges by it, and a build has nothing to judge it by"
        for place in ("acceptance.{name}", TARGET_BOUNDS)
        for name in AGAINST_EARLIER
    },
}
"""Fields that may be changed and rightly change nothing."""
NEUTRAL_CHANGES: dict[str, Change] = {
    "datasets.{name}": rename("datasets.train", "rows"),
    **{f"quantization.{{name}}.search.{name}": _asked(name, v) for name, v in ASKED.items()},
    **{
        f"acceptance.{{name}}.{name}": put(f"acceptance.everything.{name}", value)
        for name, value in AGAINST_EARLIER.items()
    },
    **{
        f"{TARGET_BOUNDS}.{name}": put(f"{WEB_BOUNDS}.{name}", value)
        for name, value in AGAINST_EARLIER.items()
    },
}

NONE: frozenset[str] = frozenset()
WORDS = {
    "datasets.{name}.preprocess.fit": (f"{PICTURES}.fit", NONE),
    "datasets.{name}.preprocess.interpolation": (f"{PICTURES}.interpolation", NONE),
    "datasets.{name}.preprocess.color": (f"{PICTURES}.color", NONE),
    "datasets.{name}.preprocess.layout": (f"{PICTURES}.layout", NONE),
    # Core ML, which the recipe asks for, takes no such inputs.
    "models.{name}.inputs.{name}.dtype": (f"{IMAGE}.dtype", frozenset({"float16", "bool"})),
    "models.{name}.inputs.{name}.preprocess.fit": (f"{PHOTO}.fit", NONE),
    "models.{name}.inputs.{name}.preprocess.interpolation": (f"{PHOTO}.interpolation", NONE),
    "models.{name}.inputs.{name}.preprocess.color": (f"{PHOTO}.color", NONE),
    "models.{name}.inputs.{name}.preprocess.layout": (f"{PHOTO}.layout", NONE),
    "models.{name}.samples.random": ("models.encoder.samples.random", NONE),
    "quantization.{name}.palette": ("quantization.pal.palette", NONE),
    "quantization.{name}.activations": ("quantization.ranged.activations", NONE),
    "quantization.{name}.calibration.method": ("quantization.searched.calibration.method", NONE),
    "models.{name}.transforms.[].prune.method": ("models.slim.transforms.1.prune.method", NONE),
    "models.{name}.transforms.[].prune.norm": ("models.slim.transforms.0.prune.norm", NONE),
    "models.{name}.transforms.[].prune.scope": ("models.slim.transforms.0.prune.scope", NONE),
    "models.{name}.transforms.[].qat.bits": ("models.slim.transforms.4.qat.bits", NONE),
    "models.{name}.transforms.[].qat.grid": ("models.slim.transforms.4.qat.grid", NONE),
    "models.{name}.transforms.[].qat.activations": (
        "models.slim.transforms.4.qat.activations",
        NONE,
    ),
    "models.{name}.environment": ("models.classifier.environment", NONE),
    "models.{name}.evaluate.metric": ("models.classifier.evaluate.metric", NONE),
    "models.{name}.capture": ("models.encoder.capture", NONE),
    # Without calibration and integers: no format takes all that a scheme can be written with.
    "quantization.{name}.scheme": (
        "quantization.dyn.scheme",
        frozenset({"bfloat16", "mixed", "static"}),
    ),
}
"""Where a field with listed words stands, and the words that are refused there."""
