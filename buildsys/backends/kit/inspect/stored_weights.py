"""The weights that a finished artifact holds, and those of the original model, in one form on disk.

A format's reader lists every constant that an operation of the artifact uses, as it is stored: floats
of any width as floats, quantized ones as their integers with scales. `verify.weights` tells, away from
any toolchain, which weight of the model each of them is.

On disk this is an `.npz` with `N.values`, and for quantized ones `N.scale` and `N.zero_point`, and a
`.json` of the form `{"tensors": [{"name", "storage", "readers", "orientation", "levels"}], "norms": […]}`
whose entries go with the numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol import arrays, backends
from ..protocol.contract import Contract
from ..protocol.request import Request

Array = NDArray[Any]

ROWS = "rows"
"""The orientation of a matrix [outputs, inputs], as `torch.nn.Linear` has it."""
COLUMNS = "columns"
"""The orientation of a matrix [inputs, outputs]."""
DERIVED = "derived."
"""How the names of tensors begin that the model computes of its weights."""


@dataclass(frozen=True)
class Stored:
    """A constant of an artifact, or a weight of the model.

    Attributes:
        name: Its name where it is from.
        values: What is stored, in its shape: floats, or the integers of what is quantized. For
            `storage` `palette`, `sparse` and `bfloat16`: the decoded floats.
        storage: `float32`, `float16`, `float64`, `bfloat16`; a type of integers (`int8`, `uint4`, …)
            for what is quantized; `palette` or `sparse` for what Core ML calls so.
        scale: Of quantized ones: what (integer - zero point) is multiplied with. It broadcasts
            against `values`.
        zero_point: As `scale`; `None` is 0.
        readers: The operations that use it: `TYPE NAME`. Of what is added to what a layer's operation
            gives also that one: it is the layer's bias.
        orientation: `ROWS` or `COLUMNS` where it is the matrix of a linear layer and the operation
            decides which; `None` otherwise.
        levels: Of a palette: how many numbers it may have.
        eps: Of the gain of a norm: what its operation, or its layer, adds to the variance. `None` where
            it is no norm's, or nothing says so.
        made_of: Of what the model computes of its weights before any input comes in: their names.
        slack: Of the same: how far another order of that arithmetic may take a number.
    """

    name: str
    values: Array
    storage: str
    scale: Array | None = None
    zero_point: Array | None = None
    readers: tuple[str, ...] = ()
    orientation: str | None = None
    levels: int | None = None
    eps: float | None = None
    made_of: tuple[str, ...] = ()
    slack: float = 0.0

    @property
    def derived(self) -> bool:
        """Whether the model computes it, and does not have it as a weight."""
        return self.name.startswith(DERIVED)

    @property
    def decoded(self) -> Array:
        """Its numbers in float64 where it is quantized, else as they are."""
        if self.scale is None:
            return self.values
        shifted = self.values.astype(np.float64)
        if self.zero_point is not None:
            shifted -= self.zero_point
        return np.asarray(shifted * self.scale.astype(np.float64))


@dataclass(frozen=True)
class Norm:
    """A batch norm of the model, whose numbers converters multiply into the layer before.

    Attributes:
        module: Its path.
        gamma: The name of its factors; `None` where it has none.
        beta: The name of its shifts; `None` where it has none.
        mean: The name of the running mean.
        variance: The name of the running variance.
        eps: What is added to the variance; all that are likely, where the file does not say.
    """

    module: str
    gamma: str | None
    beta: str | None
    mean: str
    variance: str
    eps: tuple[float, ...] = (1e-5,)


@dataclass(frozen=True)
class Weights:
    """All weights of one thing.

    Attributes:
        tensors: One entry a constant.
        norms: Batch norms, of a model.
        linear: Names of weights that are matrices of linear layers, of a model.
        plain: Names of weights that PyTorch's own layers use as they are, of a model: nothing
            computes another one of them.
    """

    tensors: Sequence[Stored]
    norms: Sequence[Norm] = ()
    linear: frozenset[str] = field(default_factory=frozenset)
    plain: frozenset[str] = field(default_factory=frozenset)


def read_weights(request: Request) -> None:
    """Reads the weights of an artifact by its format's reader.

    Inputs: `artifact`, `io`. Options: `reader_module` (`backend.module`, with `read(path, contract)`,
    which gives `Weights`, or `Stored`s). Outputs: `weights` (`.npz`) and `names` (`.json`).

    Raises:
        StepError: The artifact cannot be read.
    """
    reader = backends.module(request.options["reader_module"])
    contract = Contract.read(request.inputs["io"])
    found: Weights | Iterable[Stored] = reader.read(request.inputs["artifact"], contract)
    if not isinstance(found, Weights):
        found = Weights(tuple(found))
    save(found, request.outputs["weights"], request.outputs["names"])


def save(weights: Weights, path: Path, names: Path) -> None:
    """Writes weights, with equal bytes for equal weights."""
    held: dict[str, Array] = {}
    entries = []
    for number, tensor in enumerate(weights.tensors):
        held[f"{number:06}.values"] = tensor.values
        for part in ("scale", "zero_point"):
            array = getattr(tensor, part)
            if array is not None:
                held[f"{number:06}.{part}"] = array
        entries.append(
            {
                "name": tensor.name,
                "storage": tensor.storage,
                "readers": list(tensor.readers),
                "orientation": tensor.orientation,
                "levels": tensor.levels,
                "eps": tensor.eps,
                "made_of": list(tensor.made_of),
                "slack": tensor.slack,
            }
        )
    arrays.save(path, held)
    record = {
        "tensors": entries,
        "norms": [vars(norm) | {"eps": list(norm.eps)} for norm in weights.norms],
        "linear": sorted(weights.linear),
        "plain": sorted(weights.plain),
    }
    names.write_text(json.dumps(record, sort_keys=True, indent=1) + "\n", encoding="utf-8")


def load(path: Path, names: Path) -> Weights:
    """Reads what `save` wrote."""
    record = json.loads(names.read_text(encoding="utf-8"))
    held = arrays.mapped(path)
    tensors = [
        Stored(
            name=entry["name"],
            values=held[f"{number:06}.values"],
            storage=entry["storage"],
            scale=held.get(f"{number:06}.scale"),
            zero_point=held.get(f"{number:06}.zero_point"),
            readers=tuple(entry["readers"]),
            orientation=entry["orientation"],
            levels=entry["levels"],
            eps=entry["eps"],
            made_of=tuple(entry["made_of"]),
            slack=entry["slack"],
        )
        for number, entry in enumerate(record["tensors"])
    ]
    norms = [Norm(**(norm | {"eps": tuple(norm["eps"])})) for norm in record["norms"]]
    return Weights(tensors, norms, frozenset(record["linear"]), frozenset(record["plain"]))


def plain(name: str, values: Array, **more: Any) -> Stored:
    """A constant that is not quantized."""
    return Stored(name, values, str(values.dtype), **more)


def along(numbers: Array, axis: int, rank: int) -> Array:
    """Scales or zero points of an axis, shaped to broadcast against an array of so many axes."""
    shape = [1] * rank
    if numbers.size > 1:
        shape[axis] = numbers.size
    return numbers.reshape(shape)
