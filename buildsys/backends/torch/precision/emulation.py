"""Runs a model in another precision than its own, operation by operation.

`model.double()` and `model.half()` convert parameters and buffers only: a table that a module keeps as a
plain attribute, a mask that `forward` makes, a `dtype=torch.float32` that it writes stay as they are, and
the run fails or silently takes another precision. Here every operation is given its tensors and its dtype
arguments in the wanted precision, whatever made them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from ..original.identity import identity

Operation = Callable[..., Any]

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
COMPLEX = (torch.complex128, torch.complex64, torch.complex32)
LEAST_HALF = 2.0**-24
"""The least number of float16."""
FFT = torch.complex64
"""What complex numbers of a model in float16 are: no kernel of torch's for the CPU takes smaller ones."""


class Precision(TorchDispatchMode):  # type: ignore[misc]
    """Within it every floating operation is done in one precision.

    In float16 an operation takes and gives float16 and computes in float32, as devices and the Core ML
    evaluator do: its result is rounded once. Torch's own kernels for the CPU may add up in float16, which
    says nothing of what runs anywhere else.

    Attributes:
        dtype: The precision: float64 or float16.
        watcher: Called with each operation, what it took, and what it gave.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.watcher: Callable[[Operation, Any, Any, Any], None] | None = None
        self.weights = Weights()
        self._complex = torch.complex128 if dtype == torch.float64 else FFT
        # A tensor from outside is converted once: what is written into it is found there again.
        self._converted: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_dispatch__(
        self,
        func: Operation,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Does one operation in the precision."""
        given, named = tree_map(self._own, args), tree_map(self._own, dict(kwargs or {}))
        made = self._done(func, given, named)
        if self.watcher is not None:
            self.watcher(func, given, named, made)
        return made

    def _done(self, func: Operation, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self.dtype != torch.float16:
            return tree_map(self._result, func(*given, **named))
        if self._is_constant(func, given, named):
            return self._folded(func, given, named)
        if func.is_view or torch.Tag.inplace_view in func.tags:  # type: ignore[attr-defined]
            # It computes nothing, and what is written into it has to reach the tensor that it shows.
            return func(*given, **named)
        return self._rounded(func, given, named)

    def _own(self, value: Any) -> Any:
        """An argument in the precision: a tensor, or a dtype."""
        if isinstance(value, torch.dtype):
            return self._kind(value)
        if not isinstance(value, torch.Tensor) or self._kind(value.dtype) == value.dtype:
            return value
        known = self._converted.get(id(value))
        if known is None:
            # The original is kept as well, lest another tensor get its identity.
            known = self._converted[id(value)] = (value, value.to(self._kind(value.dtype)))
        return known[1]

    def _result(self, value: Any) -> Any:
        """What an operation made of no floating tensor: zeros, a range, a random number."""
        if isinstance(value, torch.Tensor) and self._kind(value.dtype) != value.dtype:
            return value.to(self._kind(value.dtype))
        return value

    def _kind(self, dtype: torch.dtype) -> torch.dtype:
        if dtype in FLOATS:
            return self.dtype
        return self._complex if dtype in COMPLEX else dtype

    def _is_constant(self, func: Operation, args: Any, kwargs: Any) -> bool:
        """Whether an operation takes weights alone and changes none of them."""
        taken = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if not taken or func._schema.is_mutable:  # type: ignore[attr-defined]
            return False
        return all(tensor in self.weights for tensor in taken)

    def _folded(self, func: Operation, args: Any, kwargs: Any) -> Any:
        """What weights alone give: computed in float32, as a converter folds it, and rounded at the end."""
        exact = func(*tree_map(self.weights.exact, args), **tree_map(_wide_dtype, kwargs))
        shows: bool = func.is_view  # type: ignore[attr-defined]
        made = func(*args, **kwargs) if shows else tree_map(self._result, exact)
        for narrow, wide in zip(tree_leaves(made), tree_leaves(exact), strict=True):
            if isinstance(narrow, torch.Tensor) and narrow.dtype == torch.float16:
                self.weights.add(narrow, wide.float())
        return made

    def _rounded(self, func: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operation in float32, with its result, and what it writes into, rounded to float16."""
        wide: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

        def widened(value: Any) -> Any:
            if isinstance(value, torch.Tensor) and value.dtype == torch.float16:
                if id(value) not in wide:
                    wide[id(value)] = (value, self.weights.fitting(value))
                return wide[id(value)][1]
            return _wide_dtype(value)

        returned = func(*tree_map(widened, args), **tree_map(widened, kwargs))
        if func._schema.is_mutable:  # type: ignore[attr-defined]
            for narrow in _written(func, args, kwargs):
                self.weights.discard(narrow)
                if id(narrow) in wide:
                    narrow.copy_(wide[id(narrow)][1])
        own = {id(copy): narrow for narrow, copy in wide.values()}
        return tree_map(lambda value: own.get(id(value), self._result(value)), returned)


def _written(func: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The tensors that an operation writes into."""
    found = []
    for index, taken in enumerate(func._schema.arguments):  # type: ignore[attr-defined]
        if taken.alias_info is not None and taken.alias_info.is_write:
            found.append(args[index] if index < len(args) else kwargs.get(taken.name))
    return [leaf for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]


class Weights:
    """A model's weights in float16 with what they are in float32, and what is made of them alone.

    A converter folds what depends on weights alone in float32 and rounds the result, and keeps in float32
    what float16 cannot hold: the variance of a batch norm is 500,000 in trained models.
    """

    def __init__(self) -> None:
        # The tensors are kept, lest the memory of one become another's.
        self._known: dict[Any, tuple[torch.Tensor, torch.Tensor]] = {}

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return identity(tensor) in self._known

    def add(self, narrow: torch.Tensor, wide: torch.Tensor) -> None:
        """Takes a weight in float16, and the same in float32."""
        self._known[identity(narrow)] = (narrow, wide)

    def discard(self, written: torch.Tensor) -> None:
        """Forgets a tensor that something was written into, with all that lies in its memory."""
        memory = identity(written)[0]
        for known in [key for key in self._known if key[0] == memory]:
            del self._known[known]

    def exact(self, value: Any) -> Any:
        """A weight in float32; any other argument for an operation in float32."""
        if not isinstance(value, torch.Tensor):
            return _wide_dtype(value)
        known = self._known.get(identity(value))
        return value if known is None else known[1]

    def fitting(self, value: torch.Tensor) -> torch.Tensor:
        """A tensor in float32: of a weight that float16 cannot hold its own value, else the rounded one."""
        known = self._known.get(identity(value))
        if known is not None and not torch.equal(torch.isfinite(value), torch.isfinite(known[1])):
            return known[1].clone()
        return value.float()


def _wide_dtype(value: Any) -> Any:
    return torch.float32 if value is torch.float16 else value


class Unrefused(TorchFunctionMode):  # type: ignore[misc]
    """Within it functions that refuse float16 before they come to an operation are given float32.

    `torch.fft` looks at its input's dtype by itself. The operations within are rounded as all others are.
    """

    def __torch_function__(
        self,
        func: Operation,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls one function of torch's."""
        named = dict(kwargs or {})
        try:
            return func(*args, **named)
        except RuntimeError as error:
            if "Half" not in str(error):
                raise
        with _disable_current_modes():  # Within `Precision` float32 would be float16 again.
            args, named = tree_map(_wide, args), tree_map(_wide, named)
        return func(*args, **named)


def _wide(value: Any) -> Any:
    halved = isinstance(value, torch.Tensor) and value.dtype == torch.float16
    return value.float() if halved else value


@contextmanager
def precision(module: Any, dtype: torch.dtype) -> Iterator[Precision]:
    """A block within which a model computes in another precision; afterwards its weights are its own again.

    Args:
        module: The model. What is found in its parameters and buffers is replaced meanwhile, since modules
            compare the dtype of their weights with that of their input.
        dtype: `torch.float64` or `torch.float16`.
    """
    mode, own = Precision(dtype), []
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.dtype in FLOATS:
            own.append((tensor, tensor.data))
            tensor.data = tensor.data.to(dtype)
            if dtype == torch.float16:
                mode.weights.add(tensor, own[-1][1].float())
    try:
        with torch.no_grad(), Unrefused(), _operation_by_operation(), mode:
            yield mode
    finally:
        for tensor, data in own:
            tensor.data = data


class FoldedWeights(TorchDispatchMode):  # type: ignore[misc]
    """Within it what a model computes of its weights alone is rounded to float16, and not the weights.

    A converter folds a standardized convolution, and rounds what comes out. What is rounded is all that an
    operation takes together with what depends on an input.

    Args:
        module: The model. Its weights are those that it has when the block is entered.
        numbers: Whether the numbers that its code says (epsilons, scales) are rounded too.

    Attributes:
        folded: How many operations were done on weights alone.
    """

    def __init__(self, module: Any, *, numbers: bool = False) -> None:
        super().__init__()
        self.folded = 0
        self._module = module
        self._numbers = numbers
        self._weights = Weights()
        self._rounded: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __enter__(self) -> Any:
        """Begins the block."""
        for tensor in (*self._module.parameters(), *self._module.buffers()):
            self._weights.add(tensor, tensor)
        return super().__enter__()

    def __torch_dispatch__(
        self,
        func: Operation,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Does one operation."""
        named = dict(kwargs or {})
        taken = [leaf for leaf in tree_leaves((args, named)) if isinstance(leaf, torch.Tensor)]
        mutable = func._schema.is_mutable  # type: ignore[attr-defined]
        if taken and all(tensor in self._weights for tensor in taken):
            made = func(*args, **named)
            self.folded += not func.is_view  # type: ignore[attr-defined]
            if mutable:
                self._rounded.clear()
                for written in _written(func, args, named):
                    self._weights.discard(written)
            for tensor in tree_leaves(made):
                if isinstance(tensor, torch.Tensor):
                    self._weights.add(tensor, tensor)
            return made
        if mutable:
            for written in _written(func, args, named):
                self._weights.discard(written)
        return func(*tree_map(self._narrowed, args), **tree_map(self._narrowed, named))

    def _narrowed(self, value: Any) -> Any:
        if self._numbers and type(value) is float:
            with _disable_current_modes():  # Within `Precision` float16 would be float64.
                return _narrow_number(value)
        if not isinstance(value, torch.Tensor) or value not in self._weights:
            return value
        known = self._rounded.get(id(value))
        if known is None:
            with _disable_current_modes():
                known = self._rounded[id(value)] = (value, _narrow(value))
        return known[1]


def _narrow_number(number: float) -> float:
    """A number rounded to float16: one that is too large stays, and one that is too small is its least."""
    narrow = float(torch.tensor(number, dtype=torch.float64).half())
    if not number or not math.isfinite(narrow):
        return number
    return narrow or math.copysign(LEAST_HALF, number)


def _narrow(weight: torch.Tensor) -> torch.Tensor:
    """A weight rounded to float16; single numbers, and what float16 cannot hold, stay."""
    if weight.dtype not in (torch.float32, torch.float64) or weight.numel() < 2:
        return weight
    narrow = weight.half().to(weight.dtype)
    return torch.where(torch.isfinite(narrow), narrow, weight)


@contextmanager
def rounded_weights(module: Any) -> Iterator[None]:
    """A block within which a model's weights are rounded to float16, and computed with as they are.

    Single numbers stay, and what float16 cannot hold: a converter keeps it in float32.

    Args:
        module: The model.
    """
    own = []
    for tensor in (*module.parameters(), *module.buffers()):
        own.append((tensor, tensor.data))
        tensor.data = _narrow(tensor.data)
    try:
        yield
    finally:
        for tensor, data in own:
            tensor.data = data


@contextmanager
def _operation_by_operation() -> Iterator[None]:
    """Within it attention is not one operation, whose parts nothing would round."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
