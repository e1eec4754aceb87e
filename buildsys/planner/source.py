"""A model of the recipe, as workers are told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from buildsys.planner.graph import FileInput, Input
from buildsys.recipe import Recipe


@dataclass(frozen=True)
class ModelSource:
    """Where a model's graph and weights come from.

    Attributes:
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
        resamples: On how many draws of the rows that is computed anew.
        place: Its `source:` in the recipe.
        original: What it was before its transforms, once it had weights: without a checkpoint that is
            after the first one. `None` where nothing was done to it then.
    """

    name: str
    state: str
    method: str
    declaration: dict[str, Any]
    files: dict[str, Input]
    ports: list[dict[str, Any]]
    outputs: list[str]
    layouts: dict[str, str]
    preprocess: dict[str, Any]
    labels: dict[str, list[str] | FileInput]
    environment: str
    metric: str | None
    metric_function: str | None
    resamples: int
    model: Any
    place: tuple[str | int, ...]
    original: ModelSource | None = None

    @property
    def kind(self) -> str:
        """The recipe's word for its source."""
        return self.state.removeprefix("source:")

    @classmethod
    def of(cls, recipe: Recipe, name: str, model: Any) -> ModelSource:
        """Reads one entry of `models:`."""
        source = model.source
        place = ("models", name, "source")
        files: dict[str, Input] = {}
        if source.factory is not None:
            declaration = {"kind": "factory", "factory": source.factory, "args": dict(source.args)}
            if source.files is not None:
                declaration["files"] = list(source.files)
            if source.checkpoint is not None:
                files["checkpoint"] = FileInput(
                    recipe.folder / source.checkpoint, (*place, "checkpoint")
                )
        else:
            kind = next(k for k in ("torchscript", "exported", "onnx") if getattr(source, k))
            declaration = {"kind": kind}
            files["source"] = FileInput(recipe.folder / getattr(source, kind), (*place, kind))
        evaluate = model.evaluate
        return cls(
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
            model=model,
            place=place,
        )


def ports_of(model: Any) -> list[dict[str, Any]]:
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
