"""`models:` of a recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    PlainValidator,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from buildsys.recipe.hints import did_you_mean
from buildsys.recipe.schema.benchmark import Benchmark
from buildsys.recipe.schema.part import (
    NOT_EMPTY,
    SOME,
    SYMBOL,
    TEXT_LINE,
    EntryPoint,
    FileGlobs,
    FilePath,
    Name,
    Number,
    Part,
    PortName,
    Symbol,
    exactly_one,
    fault,
    misplaced,
    one_of_required,
)
from buildsys.recipe.schema.preprocess import Preprocess
from buildsys.recipe.schema.shape import checked_size
from buildsys.recipe.schema.transforms import Transform

Dtype = Literal["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "bool"]
LIMITS = {
    "bool": (0, 1),
    "float16": (-65504, 65504),
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint8": (0, 2**8 - 1),
}
"""The least and the greatest number of each narrow type."""
SOURCES = ("factory", "torchscript", "exported", "onnx", "model")


class ModelSource(Part):
    """Where a model's graph and weights come from: exactly one of five kinds."""

    model_config = ConfigDict(json_schema_extra=one_of_required(*SOURCES))

    factory: EntryPoint | None = Field(
        default=None,
        description="A callable that returns a `torch.nn.Module`: `module:callable`, imported from "
        "the recipe's folder.",
        examples=["model:build"],
    )
    args: dict[str, JsonValue] = Field(
        default={},
        description="Keyword arguments of the factory: plain data only.",
        examples=[{"width": 16}],
    )
    checkpoint: FilePath | None = Field(
        default=None,
        description="The weights that are loaded into what the factory returns: `.safetensors`, or "
        "`.pt`, `.pth`, `.bin` read without running code. Without it the module keeps its own.",
        examples=["weights.safetensors"],
    )
    files: FileGlobs | None = Field(
        default=None,
        description="The files that its own code reads, as globs; a folder stands for all in it. They count "
        "by content. To be given where a build says `inputs not fully known`; an empty list says that "
        "there are none.",
        examples=[["vocabulary.txt", "data/**/*.bin"]],
    )
    torchscript: FilePath | None = Field(
        default=None, description="A TorchScript file.", examples=["model.pt"]
    )
    exported: FilePath | None = Field(
        default=None, description="An ExportedProgram.", examples=["model.pt2"]
    )
    onnx: FilePath | None = Field(
        default=None, description="An ONNX file.", examples=["model.onnx"]
    )
    model: Name | None = Field(
        default=None,
        description="Another model of the recipe, with its transforms. Inputs, outputs, samples, "
        "environment, evaluate and capture are that one's where they are not given.",
        examples=["classifier"],
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        kind = exactly_one(self, *SOURCES)
        for name in ("args", "checkpoint", "files"):
            if kind != "factory" and name in self.model_fields_set:
                what = "runs no code of yours" if name == "files" else "holds its own weights"
                hint = f"a `{kind}` file {what}: delete `{name}`"
                if kind == "model":
                    hint = f"`model` brings its own: delete `{name}`"
                raise misplaced(f"`{name}` needs a `factory`", hint, name)
        return self


class Dim(Part):
    """The sizes that an axis may take."""

    min: int = Field(default=1, ge=1, description="The smallest size.")
    max: int = Field(default=64, ge=1, description="The largest size.")
    example: int = Field(
        default=1,
        ge=1,
        description="The size to capture with, and to fix where a format has fixed sizes. "
        "Default: `min`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _default_example(cls, data: Any) -> Any:
        if isinstance(data, dict) and "example" not in data and isinstance(data.get("min"), int):
            return {**data, "example": data["min"]}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min > self.max:
            at = "max" if "max" in self.model_fields_set else "min"
            raise fault(f"`min` {self.min} is above `max` {self.max}", None, at)
        if not self.min <= self.example <= self.max:
            message = f"`example` {self.example} is not within {self.min} to {self.max}"
            raise fault(message, None, "example")
        return self


Size = Annotated[
    int | str,
    PlainValidator(checked_size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": SYMBOL}]}
    ),
]


class Port(Part):
    """An input of a model."""

    shape: Annotated[tuple[Size, ...], Field(strict=False)] = Field(
        description="The sizes of its axes: whole numbers, or symbols for sizes that may vary. A "
        "symbol means one size over all inputs of the model.",
        examples=[["N", 1, 8, 8]],
    )
    dtype: Dtype = Field(default="float32", description="The type of its elements.")
    dims: dict[Symbol, Dim] = Field(
        default={},
        description="What the symbols of the shape may be. A symbol that no input of the model "
        "describes goes from 1 to 64, with 1 as the example.",
        examples=[{"N": {"min": 1, "max": 64, "example": 1}}],
    )
    range: Annotated[tuple[Number, Number], Field(strict=False)] | None = Field(
        default=None,
        description="The least and the greatest value, both included: random samples are drawn "
        "from it. Integer inputs with random samples need one. Where both are the same, the input has "
        "that one value: a choice in an ONNX file that it decides is no choice then.",
        examples=[[0, 30521]],
    )
    layout: str | None = Field(
        default=None,
        pattern=r"^[A-Z]+$",
        description="What the axes mean, a letter an axis.",
        examples=["NCHW"],
    )
    preprocess: Preprocess | None = Field(
        default=None,
        description="How a picture becomes this input, for apps to read. The io contract has it, and so "
        "do artifacts that can carry it. It changes no number.",
        examples=[{"size": [224, 224], "mean": [0.5], "std": [0.5]}],
    )

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of the shape, each once, in order."""
        return tuple(dict.fromkeys(size for size in self.shape if isinstance(size, str)))

    @model_validator(mode="after")
    def _check(self) -> Self:
        for symbol in self.dims:
            if symbol not in self.symbols:
                none = "the shape has no symbol: delete it"
                hint = did_you_mean(symbol, self.symbols, none, "symbols of the shape:")
                raise misplaced(f"`{symbol}` is not a symbol of the shape", hint, "dims", symbol)
        if self.range is not None and self.range[0] > self.range[1]:
            raise fault("the least value of `range` is above the greatest", None, "range")
        if self.range is not None:
            self._check_range(*self.range)
        if self.layout is not None and len(self.layout) != len(self.shape):
            message = f"`{self.layout}` has {len(self.layout)} letters for {len(self.shape)} axes"
            raise fault(message, None, "layout")
        if self.preprocess is not None:
            self.preprocess.fits(self.shape, self.layout)
        return self

    def _check_range(self, least: float, greatest: float) -> None:
        """Refuses a range that elements of the type cannot hold: samples would wrap around."""
        bounds = LIMITS.get(self.dtype)
        if bounds is None:
            return
        if "float" not in self.dtype and (least % 1 or greatest % 1):
            raise fault(f"`{self.dtype}` holds whole numbers only", None, "range")
        if least < bounds[0] or greatest > bounds[1]:
            message = f"`{self.dtype}` holds {bounds[0]} to {bounds[1]}"
            raise fault(message, "narrow the range, or take a wider `dtype`", "range")


def _kind_of_labels(value: Any) -> str | None:
    if isinstance(value, str):
        return "<file>"
    return "<list>" if isinstance(value, list | tuple) else None


class OutputPort(Part):
    """An output of a model."""

    layout: str | None = Field(
        default=None, pattern=r"^[A-Z]+$", description="What the axes mean, a letter an axis."
    )
    labels: (
        Annotated[
            Annotated[FilePath, Tag("<file>")]
            | Annotated[
                tuple[Annotated[str, Field(pattern=TEXT_LINE)], ...], SOME, NOT_EMPTY, Tag("<list>")
            ],
            Discriminator(
                _kind_of_labels,
                custom_error_type="recipe_choice",
                custom_error_message="a list of names, or a file with one name a line",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="The names of the classes along the last axis, in order: a list, or a text file "
        "(UTF-8) with one name a line. Told like `preprocess`.",
        examples=[["cat", "dog"], "labels.txt"],
    )


class Samples(Part):
    """What an artifact and the original model are compared on."""

    model_config = ConfigDict(json_schema_extra=one_of_required("dataset", "random"))

    dataset: Name | None = Field(default=None, description="The first samples of this dataset.")
    random: Literal["normal", "uniform"] | None = Field(
        default=None,
        description="Random numbers: standard normal, or uniform from the input's range (0 to 1 "
        "without one). Integer inputs are always uniform from their range.",
    )
    count: int = Field(
        default=32,
        ge=2,
        description="How many samples: at least 2, since errors are measured against how much the "
        "outputs vary. Default: 32 of a dataset, 8 random ones.",
    )
    seed: int = Field(default=0, ge=0, description="The seed of random samples.")

    @model_validator(mode="before")
    @classmethod
    def _default_count(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("random") is not None:
            return {"count": 8, **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        kind = exactly_one(self, "dataset", "random")
        if kind == "dataset" and "seed" in self.model_fields_set:
            raise misplaced(
                "`seed` needs `random`", "the first samples of a dataset are taken", "seed"
            )
        return self


class Requirements(Part):
    """An environment of the model's own."""

    requirements: FilePath = Field(
        description="A requirements file; the model's code runs in an environment made from it.",
        examples=["requirements.txt"],
    )


class Evaluate(Part):
    """How good a model is at its task, as one number."""

    model_config = ConfigDict(json_schema_extra=one_of_required("metric", "python"))

    dataset: Name = Field(description="The dataset to evaluate on.")
    metric: Literal["top1", "top5", "f1", "iou", "mse", "mae"] | None = Field(
        default=None,
        description="A metric that is built in; it compares the first output with the labels. `f1` "
        "is the mean of the classes' F1, `iou` the mean of their intersections over unions.",
    )
    python: EntryPoint | None = Field(
        default=None,
        description="A metric of the project's own, of which more is better: `module:callable`. It "
        "is given all outputs and all labels, and returns a number.",
        examples=["metrics:average_precision"],
    )
    resamples: int = Field(
        default=200,
        ge=0,
        description="With `python`: on how many random draws of the rows to compute the metric again, "
        "to estimate how far its drop may be chance; 0 for none.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        kind = exactly_one(self, "metric", "python")
        if kind == "metric" and "resamples" in self.model_fields_set:
            hint = "what is built in draws as often as it must: delete it"
            raise misplaced("`resamples` needs a metric in `python`", hint, "resamples")
        return self


def _kind_of_environment(value: Any) -> str | None:
    if isinstance(value, str):
        return "<name>"
    return "<file>" if isinstance(value, dict | Requirements) else None


class Model(Part):
    """A model: a source of a graph and weights, and what goes in and out."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"source": {"required": ["model"]}}},
            "else": {"required": ["inputs", "outputs"]},
        }
    )

    source: ModelSource = Field(description="Where its graph and weights come from.")
    inputs: dict[PortName, Port] = Field(
        default={},
        min_length=1,
        description="Its inputs, in the order of the arguments; the names are those of every "
        "artifact's inputs.",
    )
    outputs: dict[PortName, OutputPort] = Field(
        default={},
        min_length=1,
        description="Its outputs, in the order in which the model returns them.",
        examples=[{"logits": {}}],
    )
    samples: Samples = Field(
        default_factory=lambda: Samples(random="normal", count=8),
        description="What artifacts are compared with the original on. Default: 8 random samples.",
    )
    environment: Annotated[
        Annotated[Literal["builtin", "host"], Tag("<name>")]
        | Annotated[Requirements, Tag("<file>")],
        Discriminator(
            _kind_of_environment,
            custom_error_type="recipe_choice",
            custom_error_message="`builtin`, `host` or `{requirements: FILE}`",
        ),
    ] = Field(
        default="builtin",
        description="Where the model's own code runs: `builtin`, a pinned environment with torch; "
        "`host`, the Python that runs this command; or one made from a requirements file.",
    )
    evaluate: Evaluate | None = Field(
        default=None, description="A metric on the task, for the bound `metric_drop`."
    )
    benchmark: Benchmark | None = Field(
        default=None,
        description="Measure how fast artifacts are and what they need: latency, throughput, cold "
        "start, memory.",
        examples=[{"threads": 1, "runs": 200, "batch": 1}],
    )
    capture: Literal["trace", "script", "export"] = Field(
        default="trace", description="How a graph is made of a factory's module."
    )
    transforms: Annotated[tuple[Transform, ...], SOME, NOT_EMPTY] = Field(
        default=(),
        description="What is done to the model before it is captured, in this order.",
        examples=[[{"finetune": {"train": {"python": "training:finetune", "dataset": "train"}}}]],
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for field in ("inputs", "outputs"):
            if self.source.model is None and not getattr(self, field):
                raise PydanticCustomError("missing", "Field required", {"at": (field,)})
        problem = self.unranged()
        if problem is not None:
            at = next(n for n, p in self.inputs.items() if "int" in p.dtype and p.range is None)
            raise misplaced(problem, "add `range: [least, greatest]`", "inputs", at)
        return self._with_dims()

    def unranged(self) -> str | None:
        """What is wrong with an integer input that random samples cannot be drawn for."""
        if self.samples.random is not None:
            for name, port in self.inputs.items():
                if "int" in port.dtype and port.range is None:
                    return f"random samples of the {port.dtype} input `{name}` need its range"
        return None

    def _with_dims(self) -> Self:
        """The model with every symbol described in every input that has it."""
        known: dict[str, Dim] = {}
        for name, port in self.inputs.items():
            for symbol, dim in port.dims.items():
                if known.setdefault(symbol, dim) != dim:
                    message = f"`{symbol}` is described otherwise by another input"
                    hint = "a symbol is one size over all inputs: describe it once"
                    raise misplaced(message, hint, "inputs", name, "dims", symbol)
        inputs = {
            name: port.model_copy(
                update={"dims": {symbol: known.get(symbol, Dim()) for symbol in port.symbols}}
            )
            for name, port in self.inputs.items()
        }
        return self.model_copy(update={"inputs": inputs})
