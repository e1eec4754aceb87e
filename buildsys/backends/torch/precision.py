"""Runs a model in another precision than its own, operation by operation.

`model.double()` and `model.half()` convert parameters and buffers only: a table that a module keeps as a
plain attribute, a mask that `forward` makes, a `dtype=torch.float32` that it writes stay as they are, and
the run fails or silently takes another precision. Here every operation is given its tensors and its dtype
arguments in the wanted precision, whatever made them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map

Operation = Callable[..., Any]

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
COMPLEX = (torch.complex128, torch.complex64, torch.complex32)
FFT = torch.complex64
"""What complex numbers of a model in float16 are: no kernel of torch's for the CPU takes smaller ones."""


class Precision(TorchDispatchMode):  # type: ignore[misc]
    """Within it every floating operation is done in one precision.

    Where the CPU has no kernel for float16, the operation is done in float32 and its result rounded, as
    its kernels do inside.

    Attributes:
        dtype: The precision: float64 or float16.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self._complex = torch.complex128 if dtype == torch.float64 else FFT
        # A tensor from outside is converted once: what is written into it is found there again.
        self._converted: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._without_kernel: set[Operation] = set()

    def __torch_dispatch__(
        self,
        func: Operation,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Does one operation in the precision."""
        given, named = tree_map(self._own, args), tree_map(self._own, dict(kwargs or {}))
        if func not in self._without_kernel:
            try:
                return tree_map(self._result, func(*given, **named))
            except (RuntimeError, NotImplementedError):
                if self.dtype != torch.float16:
                    raise
        done = self._rounded(func, given, named)
        self._without_kernel.add(func)
        return done

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

    def _rounded(self, func: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operation in float32, with its result, and what it writes into, rounded to float16."""
        wide: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

        def widened(value: Any) -> Any:
            if isinstance(value, torch.Tensor) and value.dtype == torch.float16:
                found = wide.setdefault(id(value), (value, value.float()))
                return found[1]
            return torch.float32 if value is torch.float16 else value

        returned = func(*tree_map(widened, args), **tree_map(widened, kwargs))
        if func._schema.is_mutable:  # type: ignore[attr-defined]
            for narrow, copy in wide.values():
                narrow.copy_(copy)
        own = {id(copy): narrow for narrow, copy in wide.values()}
        return tree_map(lambda value: own.get(id(value), self._result(value)), returned)


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
    """A block within which a model computes in another precision; its weights are converted for good.

    Args:
        module: The model. What is found in its parameters and buffers is replaced, since modules
            compare the dtype of their weights with that of their input.
        dtype: `torch.float64`, or `torch.float16` once it has been in float64 (which is exact).
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.dtype in FLOATS:
            tensor.data = tensor.data.to(dtype)
    with torch.no_grad(), Unrefused(), Precision(dtype) as mode:
        yield mode
