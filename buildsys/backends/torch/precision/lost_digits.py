"""Finds the operation at which a precision costs a model its digits.

The model is run in float64 and in the precision, a few samples each, and the results of each operation are
compared. From the output that is off by most, the way leads back along the input that is off by most, as
long as that is at least half as wrong: where it ends, the error arises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.modules import module as modules
from torch.utils._pytree import tree_leaves

from ...kit.run.signals import norm, varying_part
from ..original.identity import identity
from .emulation import FLOATS, Operation, precision

SAMPLES = 4
ELEMENTS = 1024
"""Of each result, evenly spread."""
STEPS = 20_000
"""A recurrent model of long sequences has more: their ends are left out."""

Key = tuple[str, str, tuple[int, ...], int]
Run = Callable[[int, torch.dtype], Any]


@dataclass(frozen=True)
class Lost:
    """Where a precision costs a model its digits.

    Attributes:
        layer: The module's path, empty where none is known.
        operation: Torch's name.
        before: The error of the worst input, as `signal_error`; `None` where it is not finite.
        after: The error of the result.
        not_finite: How many of its elements are NaN or infinite, over all samples.
        largest: Its largest element in float64.
    """

    layer: str
    operation: str
    before: float | None
    after: float | None
    not_finite: int
    largest: float


@dataclass
class _Step:
    key: Key
    inputs: list[int]
    values: list[NDArray[np.float64]] = field(default_factory=list)
    not_finite: int = 0
    largest: float = 0.0


def find(module: Any, run: Run, count: int, dtype: torch.dtype) -> Lost | None:
    """Finds the operation; `None` where no operation is known to be off.

    Args:
        module: The model.
        run: Runs the sample of a number, the first being 0, given in a precision.
        count: How many samples there are.
        dtype: The precision.
    """
    told: list[list[_Step]] = []
    for each in (torch.float64, dtype):
        with precision(module, each) as mode, _Watch(module).watching(mode) as watch:
            for number in range(min(SAMPLES, count)):
                watch.begin()
                run(number, each)
            told.append(watch.steps)
    exact = {step.key: step for step in told[0]}
    return _walk(told[1], exact)


def _walk(steps: list[_Step], exact: Mapping[Key, _Step]) -> Lost | None:
    errors = [_error(step, exact.get(step.key)) for step in steps]
    taken = {number for step in steps for number in step.inputs}
    ends = [number for number in range(len(steps)) if number not in taken]
    if not ends:
        return None
    at = max(ends, key=lambda number: errors[number])
    least = errors[at] / 2
    if not least > 0:
        return None
    before = 0.0
    while True:
        worst = max(steps[at].inputs, key=lambda number: errors[number], default=None)
        before = 0.0 if worst is None else errors[worst]
        if worst is None or before < least:
            break
        at = worst
    step = steps[at]
    operation, layer = step.key[1], step.key[0]
    return Lost(
        layer,
        operation,
        before if np.isfinite(before) else None,
        errors[at] if np.isfinite(errors[at]) else None,
        step.not_finite,
        exact[step.key].largest,
    )


def _error(step: _Step, exact: _Step | None) -> float:
    """The `signal_error` of a result; infinite where it is not finite, 0 where nothing is known."""
    if exact is None or len(exact.values) != len(step.values) or not step.values:
        return 0.0
    got, ref = np.stack(step.values), np.stack(exact.values)
    if not np.isfinite(ref).all():
        return 0.0
    if step.not_finite:
        return float("inf")
    # What the samples do not change may be off by its own size at most.
    signal = norm(varying_part(ref, np.isfinite(ref))) or norm(ref)
    return norm(got - ref) / signal if signal else 0.0


class _Watch:
    """Notes what each operation gives, with the layer that it is of.

    Attributes:
        steps: In the order of the first sample.
    """

    def __init__(self, module: Any) -> None:
        self.steps: list[_Step] = []
        self._module = module
        self._paths = {id(part): path for path, part in module.named_modules()}
        self._weights: dict[Any, str] = {}
        self._stack: list[str] = []
        self.begin()

    def begin(self) -> None:
        """Begins a sample."""
        self._seen: Counter[tuple[Any, ...]] = Counter()
        self._known = {step.key: number for number, step in enumerate(self.steps)}
        self._made: dict[Any, int] = {}
        self._kept: list[torch.Tensor] = []  # An address may be used again once a tensor is gone.

    @contextmanager
    def watching(self, mode: Any) -> Iterator[_Watch]:
        """Watches what runs within."""
        for path, tensor in (*self._module.named_parameters(), *self._module.named_buffers()):
            self._weights[identity(tensor)] = path.rpartition(".")[0]
        before = modules.register_module_forward_pre_hook(self._enter)
        after = modules.register_module_forward_hook(self._leave, always_call=True)
        mode.watcher = self._note
        try:
            yield self
        finally:
            mode.watcher = None
            before.remove()
            after.remove()

    def _enter(self, module: Any, _: Any) -> None:
        self._stack.append(self._paths.get(id(module), self._stack[-1] if self._stack else ""))

    def _leave(self, module: Any, _: Any, __: Any) -> None:
        if self._stack:
            self._stack.pop()

    def _note(self, func: Operation, args: Any, kwargs: Any, result: Any) -> None:
        taken = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        own = [self._weights[i] for t in taken if (i := identity(t)) in self._weights]
        inputs = [self._made[i] for t in taken if (i := identity(t)) in self._made]
        layer = own[0] if own else self._stack[-1] if self._stack else ""
        name: str = func._schema.name  # type: ignore[attr-defined]
        for made in tree_leaves(result):
            if not isinstance(made, torch.Tensor) or made.dtype not in FLOATS or not made.numel():
                continue
            kind = (layer, name, tuple(made.shape))
            key = (*kind, self._seen[kind])
            self._seen[kind] += 1
            self._take(key, inputs, made)

    def _take(self, key: Key, inputs: list[int], made: torch.Tensor) -> None:
        number = self._known.get(key)
        if number is None:
            if len(self.steps) >= STEPS:
                return
            number = self._known[key] = len(self.steps)
            self.steps.append(_Step(key, inputs))
        step = self.steps[number]
        flat = made.detach().reshape(-1).double()
        finite = flat[torch.isfinite(flat)]
        step.not_finite += flat.numel() - finite.numel()
        if finite.numel():
            step.largest = max(step.largest, float(finite.abs().max()))
        stride = -(-flat.numel() // ELEMENTS)
        step.values.append(flat[::stride].numpy().copy())
        self._made[identity(made)] = number
        self._kept.append(made)
