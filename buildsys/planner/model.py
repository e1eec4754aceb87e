"""A model of the recipe while its steps are planned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from buildsys.backends.base import Backend, Source
from buildsys.planner.drafts import DraftInput, DraftOutput
from buildsys.planner.graph import FileInput
from buildsys.planner.machine import Machine
from buildsys.recipe import Recipe
from buildsys.recipe.schema.model import Model

Made = TypeVar("Made")
Samples = tuple[DraftOutput, DraftOutput | None]


@dataclass(frozen=True)
class PlannedModel:
    """A model being planned: what the recipe says of it, and what this machine can do with it.

    Attributes:
        recipe: The recipe that has it.
        machine: This machine, with all backends.
        name: The model's name in the recipe.
        state: The start of its routes, for example `source:factory`.
        method: Its `capture:`.
        declaration: What workers get as `options["source"]`.
        files: Its checkpoint, or the file that it is; once transformed, its weights and structure.
        ports: Its inputs, as plain JSON.
        outputs: Names of its outputs, in order.
        layouts: What the axes of outputs mean, where the recipe says it.
        preprocess: How pictures become inputs, by input, where the recipe says it.
        labels: Names of classes by output, or the file that has them, where the recipe says it.
        environment: Where its own code runs.
        metric: The evaluation's metric, or `None`.
        metric_function: `module:function` of a metric in Python, or `None`.
        resamples: How many times the metric is computed again, each time on rows drawn at random.
        declared: Its entry of `models:`.
        place: Its `source:` in the recipe.
        original: What it was before its transforms, once it had weights: without a checkpoint that is
            after the first one. `None` where nothing was done to it then.
        samples: Its samples and the data of its evaluation, once drafted; transforms share them.
        begun: What the beginnings of its routes give that were followed, by their rules.
    """

    recipe: Recipe
    machine: Machine
    name: str
    state: str
    method: str
    declaration: dict[str, Any]
    files: dict[str, DraftInput]
    ports: list[dict[str, Any]]
    outputs: list[str]
    layouts: dict[str, str]
    preprocess: dict[str, Any]
    labels: dict[str, list[str] | FileInput]
    environment: str
    metric: str | None
    metric_function: str | None
    resamples: int
    declared: Model
    place: tuple[str | int, ...]
    original: PlannedModel | None = None
    samples: dict[str, Samples] = field(default_factory=dict, repr=False, compare=False)
    begun: dict[tuple[object, ...], Any] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _made: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, make: Callable[[PlannedModel], Made]) -> Made:
        """What `make` gives for this model; it is called the first time only."""
        if make not in self._made:
            self._made[make] = make(self)
        return cast(Made, self._made[make])

    @property
    def kind(self) -> str:
        """The recipe's word for its source."""
        return self.state.removeprefix("source:")

    @property
    def framework(self) -> Source:
        """What its kind of source declares."""
        return self.machine.catalog.source(self.kind)[1]

    @property
    def backend(self) -> Backend:
        """The backend that declares its kind of source."""
        return self.machine.catalog.source(self.kind)[0]

    @property
    def contract(self) -> dict[str, Any]:
        """Its inputs and outputs, as options of a step."""
        return {"ports": self.ports, "outputs": self.outputs}

    @property
    def contract_and_source(self) -> dict[str, Any]:
        """Its inputs, outputs and source, as options of a step that runs the original."""
        return {**self.contract, "source": self.declaration}

    @classmethod
    def of(cls, recipe: Recipe, machine: Machine, name: str) -> PlannedModel:
        """Reads one entry of `models:`."""
        model = recipe.spec.models[name]
        declaration, files = _source(recipe, name, model)
        evaluate = model.evaluate
        return cls(
            recipe=recipe,
            machine=machine,
            name=name,
            state="source:" + declaration["kind"],
            method=model.capture,
            declaration=declaration,
            files=files,
            ports=ports_of(model),
            outputs=list(model.outputs),
            layouts={n: port.layout for n, port in model.outputs.items() if port.layout},
            preprocess={
                n: port.preprocess.model_dump(mode="json")
                for n, port in model.inputs.items()
                if port.preprocess is not None
            },
            labels={
                n: _labels(recipe, ("models", name, "outputs", n, "labels"), port.labels)
                for n, port in model.outputs.items()
                if port.labels is not None
            },
            environment=_environment(recipe, model.environment),
            metric=evaluate.metric if evaluate else None,
            metric_function=evaluate.python if evaluate else None,
            resamples=evaluate.resamples if evaluate else 0,
            declared=model,
            place=("models", name, "source"),
        )


def _source(
    recipe: Recipe, name: str, model: Model
) -> tuple[dict[str, Any], dict[str, DraftInput]]:
    """What workers receive about a model's source, and its files."""
    source, place = model.source, ("models", name, "source")
    if source.factory is None:
        kind = next(k for k in ("torchscript", "exported", "onnx") if getattr(source, k))
        return {"kind": kind}, {
            "source": FileInput(recipe.folder / getattr(source, kind), (*place, kind))
        }
    declaration = {"kind": "factory", "factory": source.factory, "args": dict(source.args)}
    if source.files is not None:
        declaration["files"] = list(source.files)
    if source.checkpoint is None:
        return declaration, {}
    checkpoint = FileInput(recipe.folder / source.checkpoint, (*place, "checkpoint"))
    return declaration, {"checkpoint": checkpoint}


def ports_of(model: Model) -> list[dict[str, Any]]:
    """The inputs of an entry of `models:`, as plain JSON."""
    return [_port(name, port) for name, port in model.inputs.items()]


def _port(name: str, port: Any) -> dict[str, Any]:
    shape = list(port.shape)
    dims = {
        symbol: {"min": dim.min, "max": dim.max, "example": dim.example}
        for symbol, dim in port.dims.items()
        if symbol in shape
    }
    return {
        "name": name,
        "shape": shape,
        "dtype": port.dtype,
        "dims": dims,
        "range": list(port.range) if port.range is not None else None,
        "layout": port.layout,
    }


def _labels(recipe: Recipe, place: tuple[str, ...], declared: Any) -> list[str] | FileInput:
    if isinstance(declared, str):
        return FileInput(recipe.folder / declared, place)
    return list(declared)


def _environment(recipe: Recipe, declared: Any) -> str:
    if declared == "builtin":
        return "torch"
    if declared == "host":
        return "host"
    return f"requirements:{recipe.folder / declared.requirements}"
