"""A model's outputs as a flat list of tensors in a stable order, whatever it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...kit.protocol.request import StepError


@dataclass(frozen=True)
class Leaf:
    """A tensor within what a model returns.

    Attributes:
        tensor: It.
        path: The Python expression that leads to it, for example `["boxes"][0]`.
        name: Its key or field, the innermost one, where it has any.
    """

    tensor: torch.Tensor
    path: str
    name: str | None


def leaves(value: Any, path: str = "", name: str | None = None) -> list[Leaf]:
    """All tensors in `value`, depth first, in the order of its tuples, lists, keys and fields.

    `None` is left out, as optional results of `transformers` are.

    Raises:
        StepError: It holds something that is no tensor.
    """
    if isinstance(value, torch.Tensor):
        return [Leaf(value, path, name)]
    if value is None:
        return []
    found: list[Leaf] = []
    for step, inner, inner_name in _children(value, path):
        found += leaves(inner, path + step, inner_name)
    return found


def _children(value: Any, path: str) -> list[tuple[str, Any, str | None]]:
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", inner, str(key)) for key, inner in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [(f".{key}", getattr(value, key), key) for key in value._fields]
    if isinstance(value, tuple | list):
        return [(f"[{index}]", inner, None) for index, inner in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value)]
        return [(f".{key}", getattr(value, key), key) for key in names]
    what = f"its output{path}" if path else "what it returns"
    raise StepError(
        f"the model returns no tensor: {what} is of type `{type(value).__name__}`",
        "return tensors, or tuples, lists, dicts or dataclasses of them",
        "outputs",
    )


def order(found: Sequence[Leaf], names: Sequence[str]) -> list[int]:
    """Which leaf is which of the recipe's outputs.

    By name where the model's names are the recipe's, otherwise by position.

    Raises:
        StepError: Their numbers differ, or names and positions contradict each other.
    """
    listing = ", ".join(f"`out{leaf.path}` {list(leaf.tensor.shape)}" for leaf in found)
    if len(found) != len(names):
        raise StepError(
            f"the model returns {len(found)} tensor{'s' * (len(found) != 1)}, the recipe names "
            f"{len(names)}: {listing or 'nothing'}",
            "name each of them under `outputs`, in this order",
            "outputs",
        )
    own = [leaf.name for leaf in found]
    if set(own) == set(names):  # Of equal number, so none of its names is there twice.
        return [own.index(name) for name in names]
    for name, other in zip(names, own, strict=True):
        if name in own and name != other:
            raise StepError(
                f"the recipe's outputs {', '.join(names)} do not go with the model's: {listing}",
                "use the model's own names, or others",
                "outputs",
            )
    return list(range(len(names)))


def is_flat(value: Any, chosen: Sequence[int]) -> bool:
    """Whether what a model returns needs no wrapper: a tensor, or a plain tuple in order."""
    if isinstance(value, torch.Tensor):
        return True
    plain = type(value) is tuple and all(isinstance(v, torch.Tensor) for v in value)
    return plain and len(value) > 1 and list(chosen) == list(range(len(value)))


class Flat(torch.nn.Module):  # type: ignore[misc]
    """A model whose outputs are a tensor or a flat tuple of tensors, in the recipe's order."""

    def __init__(self, model: torch.nn.Module, chosen: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.chosen = tuple(chosen)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """Runs the model and flattens what it returns."""
        found = [leaf.tensor for leaf in leaves(self.model(*inputs))]
        tensors = tuple(found[index] for index in self.chosen)
        return tensors if len(tensors) > 1 else tensors[0]


def to_numpy(tensor: torch.Tensor) -> NDArray[Any]:
    """A tensor as an array; bfloat16, which numpy lacks, as float32."""
    tensor = tensor.detach().cpu()
    return np.array((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def difference(got: Mapping[str, NDArray[Any]], want: Mapping[str, NDArray[Any]]) -> str | None:
    """How outputs differ beyond rounding, in words, or `None`.

    A capture runs the same kernels as the model: what is allowed is 1e-4 of the output's largest
    value (1e-2 in half precision), for sums in another order.
    """
    for name, expected in want.items():
        found = got[name]
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return (
                f"`{name}` is {found.dtype}{list(found.shape)} instead of "
                f"{expected.dtype}{list(expected.shape)}"
            )
        if not np.issubdtype(expected.dtype, np.inexact):
            if not np.array_equal(found, expected):
                return f"`{name}` differs in {np.count_nonzero(found != expected)} values"
            continue
        finite = np.isfinite(expected)
        if not np.array_equal(found[~finite], expected[~finite], equal_nan=True):
            return f"`{name}` differs where it is not finite"
        if not finite.any():
            continue
        scale = float(np.abs(expected[finite]).max())
        worst = float(np.abs(found[finite] - expected[finite]).max())
        part = 1e-2 if expected.dtype.itemsize < 4 else 1e-4
        if not worst <= part * scale + 1e-7:
            return f"`{name}` differs by {worst:.3g}, its largest value being {scale:.3g}"
    return None
