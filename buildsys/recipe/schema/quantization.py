"""`quantization:` of a recipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from buildsys.quantization import (
    CALIBRATED,
    FLOAT_SCHEMES,
    METHOD_NAMES,
    METHODS,
    SCHEME_NAMES,
    SCHEMES,
    CalibrationMethod,
    QuantizationScheme,
)
from buildsys.recipe.schema.part import (
    NOT_EMPTY,
    SOME,
    Name,
    Part,
    exactly_one,
    fault,
    misplaced,
    one_of_required,
)

FLOAT = "float"
"""What layers are that stay as they are; no profile may have this name."""

INTEGERS_ONLY = (
    "bits",
    "per_channel",
    "symmetric",
    "palette",
    "block_size",
    "sparsity",
    "activations",
    "calibration",
)
"""What only says something of integers, palettes and zeros."""

OPTIONAL = ("keep_float", "palette", "block_size", "sparsity")
"""What of a profile only some schemes of some formats read; see `Scheme.reads`."""

if TYPE_CHECKING:
    SchemeName = str
    Method = str
else:
    SchemeName = Literal[SCHEME_NAMES]
    Method = Literal[METHOD_NAMES]


def _described(entries: Iterable[QuantizationScheme | CalibrationMethod]) -> str:
    return " ".join(f"`{each.name}`: {each.description}." for each in entries)


class Calibration(Part):
    """The data that the ranges of activations are taken from, and how they are."""

    dataset: Name = Field(description="The dataset to draw from.")
    count: int = Field(default=128, ge=1, description="How many samples.")
    seed: int = Field(default=0, ge=0, description="The seed of the draw.")
    method: Method | None = Field(
        default=None,
        description=f"How a range follows from the values seen. {_described(METHODS)} "
        "Default: several are tried, and the one that errs least on held-out data is kept.",
    )
    percentile: float | None = Field(
        default=None,
        gt=50,
        lt=100,
        description="The part of the values within the range, in percent. Default with the method "
        "`percentile`: 99.99.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.percentile is not None and self.method != "percentile":
            raise misplaced(
                "`percentile` means nothing without `method: percentile`", "delete it", "percentile"
            )
        return self


class Search(Part):
    """A question in place of a scheme: the best of several profiles that is still good enough."""

    schemes: Annotated[tuple[Name, ...], SOME, NOT_EMPTY] = Field(
        description="What to choose from: names of profiles, or schemes, which stand for all variants "
        "of them that the entry's format declares (widths, scales a channel or a tensor, activations).",
        examples=[["w8", "int8", "dynamic", "w4"]],
    )
    minimize: Literal["size", "latency"] = Field(
        default="size", description="What is to be as small as possible."
    )
    subject_to: Name = Field(
        description="The tolerances under `acceptance` that must hold. An entry with this profile "
        "is held to them.",
        examples=["shipped"],
    )
    calibration: Calibration | None = Field(
        default=None,
        description="Data for the ranges of `static`, where that is named as a scheme.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for index, name in enumerate(self.schemes):
            if name in self.schemes[:index]:
                raise fault(f"`{name}` is named twice", "delete one", "schemes", index)
        return self


class Quantization(Part):
    """A way to make a model smaller, or a search for one; a format says which schemes it can take."""

    model_config = ConfigDict(json_schema_extra=one_of_required("scheme", "search"))

    scheme: SchemeName | None = Field(
        default=None,
        description=_described(SCHEMES),
    )
    search: Search | None = Field(
        default=None,
        description="In place of a scheme: the build finds the best profile that is good enough, and "
        "writes it to `deploy.lock.yaml`.",
    )
    bits: int | None = Field(
        default=None,
        ge=1,
        le=16,
        description="The width of weights as integers, or of a palette's indices. Default: 8; "
        "nothing for `float16`, `bfloat16` and `mixed`, and where `sparsity` alone is asked for.",
    )
    activations: Literal["int8", "uint8", "int16"] | None = Field(
        default=None,
        description="What activations become with `static`. Default: what the format does best.",
    )
    per_channel: bool | None = Field(
        default=None,
        description="One scale a channel, not one a tensor. Default: true; nothing for `float16`, "
        "`bfloat16` and `mixed`.",
    )
    symmetric: bool | None = Field(
        default=None,
        description="Ranges around zero: those of activations with `static`, those of weights "
        "otherwise. Default: what the format does best.",
    )
    palette: Literal["uniform", "kmeans"] | None = Field(
        default=None,
        description="Weights become indices into a table of 2^bits numbers: evenly spaced from the "
        "least to the greatest, or chosen for the least squared error.",
    )
    block_size: int | None = Field(
        default=None,
        ge=2,
        description="One scale for so many weights along the input channels; with `palette`, one "
        "table for so many channels.",
    )
    sparsity: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="The part of each weight that becomes zero, the smallest magnitudes first.",
    )
    keep_float: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description="Globs over the names of layers that stay as they are.",
        examples=[["head.*"]],
    )
    calibration: Calibration | None = Field(
        default=None, description="Data for the ranges; `static` needs it."
    )
    default: Name | None = Field(
        default=None,
        description="With `mixed`: the profile of all layers that `layers` does not name, or "
        "`float`.",
    )
    layers: Annotated[dict[str, Name], NOT_EMPTY] | None = Field(
        default=None,
        description="With `mixed`: profiles of layers, or `float`, by globs over their names, or "
        "over types of operators after `type:`. The first that fits a layer holds.",
        examples=[{"head.*": "float", "type:MatMul": "w4"}],
        json_schema_extra={"minProperties": 1},
    )

    def mixed_in(self) -> tuple[str, ...]:
        """The profiles that a `mixed` one gives to layers, each once."""
        given = (self.default, *(self.layers or {}).values())
        return tuple(dict.fromkeys(name for name in given if name not in (None, FLOAT)))

    @model_validator(mode="before")
    @classmethod
    def _integer_defaults(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("scheme") not in (None, "mixed", *FLOAT_SCHEMES):
            # What is only pruned stays in floats.
            pruned = data.get("sparsity") is not None and data.get("palette") is None
            return {**({} if pruned else {"bits": 8}), "per_channel": True, **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if exactly_one(self, "scheme", "search") == "search":
            for name in sorted(self.model_fields_set - {"search"}):
                # What was given as nothing is as good as not given.
                if getattr(self, name) not in (None, ()):
                    hint = "say it in the profiles that it chooses from"
                    raise misplaced(f"`{name}` means nothing beside `search`", hint, name)
            return self
        if self.scheme in CALIBRATED and self.calibration is None:
            raise fault(
                f"the scheme `{self.scheme}` needs `calibration`",
                "add `calibration: {dataset: NAME, count: 128}`",
                "scheme",
            )
        if self.palette is not None and self.symmetric is not None:
            raise misplaced("`symmetric` means nothing to a palette", "delete it", "symmetric")
        if self.block_size is not None and self.bits is None and self.scheme not in FLOAT_SCHEMES:
            raise misplaced(
                "`block_size` means nothing where weights are only pruned",
                "delete it, or add `bits`",
                "block_size",
            )
        self._check_mixed()
        self._check_meaningful()
        return self

    def _check_mixed(self) -> None:
        for name in ("default", "layers"):
            given = getattr(self, name) is not None
            if given and self.scheme != "mixed":
                raise misplaced(f"`{name}` needs the scheme `mixed`", "delete it", name)
            if not given and self.scheme == "mixed":
                raise fault(
                    f"the scheme `mixed` needs `{name}`",
                    'say what layers become: `default: PROFILE`, `layers: {"head.*": float}`',
                    "scheme",
                )

    def _check_meaningful(self) -> None:
        """What would mean nothing to the scheme, whatever the format."""
        nothing: tuple[str, ...] = ()
        if self.scheme in FLOAT_SCHEMES:
            nothing = INTEGERS_ONLY
        elif self.scheme == "mixed":
            nothing = (*INTEGERS_ONLY, "keep_float")
        elif self.scheme not in CALIBRATED:
            nothing = ("activations", "calibration")
        for name in nothing:
            if getattr(self, name) not in (None, ()):
                hint = (
                    "give it to the profiles of `layers`" if self.scheme == "mixed" else "delete it"
                )
                message = f"`{name}` means nothing to the scheme `{self.scheme}`"
                raise misplaced(message, hint, name)
