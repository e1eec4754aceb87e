"""`datasets:` of a recipe."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from buildsys.recipe.schema.part import (
    NOT_EMPTY,
    SOME,
    EntryPoint,
    FileGlobs,
    FilePath,
    Part,
    PortName,
)
from buildsys.recipe.schema.preprocess import Preprocess


class PythonSource(Part):
    """Arrays that a function of the project returns."""

    python: EntryPoint = Field(
        description="A function without arguments that returns a mapping from names to arrays, "
        "the first axis of each being the samples: `module:callable`, relative to the recipe.",
        examples=["data:load"],
    )
    files: FileGlobs | None = Field(
        default=None,
        description="The files that its own code reads, as globs; a folder stands for all in it. They count "
        "by content. To be given where a build says `inputs not fully known`; an empty list says that "
        "there are none.",
        examples=[["vocabulary.txt", "data/**/*.bin"]],
    )


def _kind_of_source(value: Any) -> str | None:
    if isinstance(value, str):
        return "<file>"
    return "<python>" if isinstance(value, dict | PythonSource) else None


def _kind_of_labels(value: Any) -> str | None:
    if isinstance(value, str):
        return "<name>"
    return "<list>" if isinstance(value, list | tuple) else None


class Dataset(Part):
    """Arrays to sample, calibrate and evaluate with."""

    source: Annotated[
        Annotated[FilePath, Tag("<file>")] | Annotated[PythonSource, Tag("<python>")],
        Discriminator(
            _kind_of_source,
            custom_error_type="recipe_choice",
            custom_error_message='a path, or `{python: "module:callable"}`',
        ),
    ] = Field(
        description="An `.npz` or `.npy` file, a folder of images (with `preprocess`), or a "
        "function of the project.",
        examples=["data/train.npz", {"python": "data:load"}],
    )
    inputs: dict[PortName, str] = Field(
        default={},
        description="Which array feeds which input of a model; arrays are named like the inputs by "
        "default.",
        examples=[{"image": "x"}],
    )
    labels: (
        Annotated[
            Annotated[str, Tag("<name>")]
            | Annotated[tuple[str, ...], SOME, NOT_EMPTY, Tag("<list>")],
            Discriminator(
                _kind_of_labels,
                custom_error_type="recipe_choice",
                custom_error_message="the name of an array, or a list of them",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="The array of labels, for metrics; a metric of the project's own may have "
        "several, and gets them by name.",
        examples=["y", ["boxes", "classes"]],
    )
    limit: int | None = Field(
        default=None, ge=1, description="Use this many samples, from the first, at most."
    )
    preprocess: Preprocess | None = Field(
        default=None, description="How the pictures of a folder become arrays."
    )
