"""What a model computes from its weights alone, before any input comes in.

A standardized convolution, a weight norm, a position embedding that is resized, a bias that is gathered from
a table: converters compute such tensors once and store what comes out. So the model is run once under a
mode that sees each operator. Where all tensors that an operator takes are weights, or made of weights, or
made of nothing (`arange`, `zeros`), its result is a constant too; and a constant that an operator takes
together with what depends on an input is one that an artifact may hold.

Beside each constant, the same operators run in float64. How far the two are apart, and a few roundings, is
how far another order of the same arithmetic may take a number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ..capture.costly import costly

ROUNDINGS = 8.0
"""Roundings of float32, of the largest number of a tensor, that another order of the arithmetic may cost."""
EPSILON = 2.0**-24
APART = 4.0
"""How often another order of the arithmetic may miss what float64 gives by what this one does."""
UNLIKE = 1e-3
"""How far from what float64 gives, of the largest number, a constant is no measure of its own rounding."""
MOST = 4096
"""Constants that are kept of a model."""

MOVES = frozenset(
    {
        *("abs", "cat", "clamp", "clamp_max", "clamp_min", "clone", "constant_pad_nd", "copy_"),
        *("embedding", "flip", "gather", "index", "index_select", "masked_fill", "maximum"),
        *("minimum", "neg", "relu", "repeat", "roll", "scatter", "stack", "tril", "triu", "where"),
        *("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"),
    }
)
"""Operators that give back numbers that they were given, besides views of them."""
SERIES = frozenset({"linspace", "logspace", "arange"})
"""Operators that reckon numbers of none: each library adds and multiplies in an order of its own."""
FROM_NOTHING = ("_like", "new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided")
"""Ends of the names of operators that take a tensor for its shape and type alone."""


@dataclass(frozen=True)
class Derived:
    """A constant that a model computes.

    Attributes:
        name: The operator that takes it, and at which place.
        of: The weights that it is made of.
        value: Its numbers, as the model computes them.
        slack: How far from them another order of the same arithmetic may take a number.
    """

    name: str
    of: tuple[str, ...]
    value: torch.Tensor
    slack: float


@dataclass
class _Constant:
    tensor: torch.Tensor
    of: dict[str, None]
    exact: torch.Tensor | None  # In float64, where arithmetic made it.
    plain: bool  # Whether it is a weight, or a view of one.
    costly: bool = False  # Whether a costly operator made it, or something that it is made of.


class Tracer(TorchDispatchMode):  # type: ignore[misc]
    """Follows what depends on weights alone while a model runs.

    Args:
        named: The model's weights by name.
    """

    def __init__(self, named: Iterable[tuple[str, torch.Tensor]]) -> None:
        super().__init__()
        self._known: dict[int, _Constant] = {}
        self._storages: set[int] = set()
        self._changed: set[int] = set()
        self._found: dict[int, tuple[str, _Constant]] = {}
        # Kept alive, so that no other tensor has their `id`.
        self._forgotten: list[_Constant] = []
        for name, tensor in named:
            self._known.setdefault(id(tensor), _Constant(tensor, {name: None}, None, plain=True))
            self._storages.add(_storage(tensor))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Runs an operator, and takes note of what it is made of."""
        kwargs = kwargs or {}
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        name = func.overloadpacket.__name__
        if name.endswith(FROM_NOTHING):
            given = []
        constants = [self._constant(each) for each in given]
        steady = all(constants) and torch.Tag.nondeterministic_seeded not in func.tags
        exact = None
        # Before it runs: an operator may write into what it is given.
        inexact = any(each is not None and each.exact is not None for each in constants)
        reckoned = name in SERIES or (given and not _moves(func, name))
        if steady and (inexact or reckoned):
            exact = self._in_float64(func, args, kwargs)
        if not steady:
            for place, constant in enumerate(constants):
                if constant is not None:
                    self._found.setdefault(id(constant.tensor), (f"{name}.{place}", constant))
        # Of others than constants the addresses are used again.
        written = {_storage(tensor) for tensor in written_by(func, args, kwargs)} & self._storages
        if written:
            self._keep_apart(written)
        result = func(*args, **kwargs)
        if steady:
            self._made(func, constants, exact, result)
            if written:
                self._forget_stale(written, exact is None, result)
        else:
            self._changed |= written
        return result

    def derived(self) -> Iterator[Derived]:
        """The constants that are no weights, in the order in which they were met."""
        for name, constant in list(self._found.values())[:MOST]:
            value = _narrow(constant.tensor.detach())
            if constant.plain or not value.is_floating_point() or value.numel() < 2:
                continue
            if not constant.of and bool((value == value.reshape(-1)[0]).all()):
                continue  # Zeros, say: numbers that anything may hold.
            slack = _slack(value, constant.exact)
            if slack is not None:
                yield Derived(name, tuple(constant.of), value, slack)

    def _keep_apart(self, written: Collection[int]) -> None:
        """Copies the constants that were met and are about to be written into: they were what they are."""
        for key, (name, constant) in list(self._found.items()):
            if not constant.plain and _storage(constant.tensor) in written:
                copied = replace(constant, tensor=constant.tensor.detach().clone())
                self._found[key] = name, copied

    def _forget_stale(self, written: Collection[int], moved: bool, result: Any) -> None:
        """Forgets the other views of what an operator wrote into: float64 has no figure of them any more.

        Args:
            written: The storages.
            moved: Whether it gave back numbers that it was given.
            result: What it gave.
        """
        own = {id(tensor) for tensor in tree_leaves(result)}
        for key, constant in list(self._known.items()):
            stale = not moved or constant.exact is not None
            if stale and key not in own and _storage(constant.tensor) in written:
                self._forgotten.append(self._known.pop(key))

    def _constant(self, tensor: torch.Tensor) -> _Constant | None:
        found = self._known.get(id(tensor))
        return None if found is None or _storage(tensor) in self._changed else found

    def _made(
        self, func: Any, constants: Sequence[_Constant | None], exact: Any, result: Any
    ) -> None:
        name = func.overloadpacket.__name__
        late = costly(name) or any(each is not None and each.costly for each in constants)
        of = {name: None for each in constants if each is not None for name in each.of}
        views = func.is_view or func._schema.name in ("aten::detach", "aten::alias")
        plain = views and all(each is not None and each.plain for each in constants)
        outputs, others = tree_leaves(result), tree_leaves(exact)
        for place, tensor in enumerate(outputs):
            if isinstance(tensor, torch.Tensor):
                other = others[place] if len(others) == len(outputs) else None
                self._storages.add(_storage(tensor))
                made = _Constant(tensor, dict(of), other, plain, late)
                self._known[id(tensor)] = made
                if late:  # A capture may hold it, and compute on from there.
                    self._found.setdefault(id(tensor), (name, made))

    def _in_float64(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """What an operator gives of the same in float64; `None` where it takes no other type."""

        def widened(each: Any) -> Any:
            if isinstance(each, torch.Tensor):
                known = self._known.get(id(each))
                wide = each if known is None or known.exact is None else known.exact
                wide = wide.detach()
                wide = wide.double() if wide.is_floating_point() else wide
                return wide.clone() if func._schema.is_mutable else wide
            return torch.float64 if each in (torch.float32, torch.float16) else each

        try:
            return func(*tree_map(widened, args), **tree_map(widened, dict(kwargs)))
        except (
            Exception
        ):  # Whatever an operator raises that knows no float64: it has no second figure.
            return None


def _moves(func: Any, name: str) -> bool:
    return bool(func.is_view) or name in MOVES or name in ("detach", "alias")


def written_by(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    """The tensors that an operator writes into."""
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        given = args[place] if place < len(args) else kwargs.get(argument.name)
        yield from (each for each in tree_leaves(given) if isinstance(each, torch.Tensor))


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _slack(value: torch.Tensor, exact: torch.Tensor | None) -> float | None:
    """How far another order of its arithmetic may take a number; `None` where that is not known."""
    if exact is None:
        return 0.0
    exact = _narrow(exact)
    if torch.equal(value.double(), exact.double()) and torch.equal(value, value.round()):
        return 0.0  # Whole numbers: any order of the arithmetic gives them.
    largest = float(value.abs().max())
    off = float((value.double() - exact).abs().max()) if exact.shape == value.shape else 0.0
    if not off <= UNLIKE * largest:
        return None
    return APART * off + ROUNDINGS * EPSILON * largest


def _narrow(tensor: torch.Tensor) -> torch.Tensor:
    """The same without the copies that broadcasting made along an axis."""
    for axis, stride in enumerate(tensor.stride()):
        if stride == 0 and tensor.shape[axis] > 1:
            tensor = tensor.narrow(axis, 0, 1)
    return tensor
