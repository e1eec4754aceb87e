"""Runs bound operations one after another, each result checked, rounded, and freed after its last use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from ...kit.protocol.request import StepError
from .binding import Binding, Source, Values, as_tensor
from .constants import Constant
from .dtypes import DTYPES
from .errors import Undefined, Unsupported
from .registry import Tensor, Tensors, TensorType
from .steps import Alarm, Step, alarm

Mode = Literal["typed", "fp32"]
Observer = Callable[[Step, Tensors], None]


@dataclass
class Run:
    """What one run of a program knows; reset before each.

    Attributes:
        values: By place.
        mode: Whether results are rounded to their declared types.
        observer: Is shown each result, or `None`.
        watched: Whether each result is looked at, for an observer or for alarms.
        sums: Of each float result; one that is not finite tells of elements that are not.
        alarms: What is not finite.
    """

    values: Values = field(default_factory=list)
    mode: Mode = "typed"
    observer: Observer | None = None
    watched: bool = False
    sums: list[Tensor] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)

    def finite(self) -> bool:
        """Whether all results were finite; `False` may be wrong, since a sum overflows before numbers."""
        return not self.sums or bool(torch.isfinite(torch.stack(self.sums)).all())

    def reset(self, mode: Mode, observer: Observer | None, watched: bool) -> None:
        """Forgets all values."""
        self.values[:] = [None] * len(self.values)
        self.mode, self.observer, self.watched = mode, observer, watched
        self.sums.clear()
        self.alarms.clear()


@dataclass(frozen=True)
class Bound:
    """A step, ready to run.

    Attributes:
        step: What it is.
        binding: Its call.
        places: Where its results go.
        constants: Its inputs that are constants.
        unchanged: Whether its results are elements of inputs of the declared type.
        looked_at: Whether its results are looked at for what is not finite.
    """

    step: Step
    binding: Binding
    places: tuple[int, ...]
    constants: tuple[Constant, ...]
    unchanged: bool
    looked_at: bool = True


class Body:
    """A block: called with values for its inputs, it runs its operations and gives its results."""

    def __init__(
        self,
        run: Run,
        inputs: Sequence[int],
        bound: Sequence[Bound],
        outputs: Sequence[Source],
        freed: Sequence[tuple[int, ...]],
    ) -> None:
        """Compiles a block.

        Args:
            run: What all blocks of a program share.
            inputs: Where its inputs go.
            bound: Its operations.
            outputs: Where its results come from.
            freed: For each operation the places that nothing reads after it.
        """
        self._run = run
        self._inputs = tuple(inputs)
        self._outputs = tuple(
            as_tensor(each) if isinstance(each, Constant) else each for each in outputs
        )
        self._plans = {
            mode: [_plan(run, each, old, mode) for each, old in zip(bound, freed, strict=True)]
            for mode in ("typed", "fp32")
        }
        self._watched = [_watched(run, each, old) for each, old in zip(bound, freed, strict=True)]

    def __call__(self, *given: Any) -> tuple[Any, ...]:
        """Runs the block.

        Raises:
            StepError: An operation fails, or gives what was not declared.
        """
        run = self._run
        values = run.values
        for place, value in zip(self._inputs, given, strict=True):
            values[place] = value
        for execute in self._watched if run.watched else self._plans[run.mode]:
            execute()
        return tuple([values[each] if isinstance(each, int) else each for each in self._outputs])


def rounded(tensor: Tensor, dtype: str) -> Tensor:
    """A tensor rounded to the nearest numbers of its declared type."""
    return tensor.half().float() if dtype == "FLOAT16" else tensor


def _plan(run: Run, bound: Bound, freed: tuple[int, ...], mode: Mode) -> Callable[[], None]:
    """The fast way to run a step."""
    step, call, values, sums = bound.step, bound.binding.call, run.values, run.sums
    if len(step.types) != 1 or step.types[0].dtype not in DTYPES:
        return _several(run, bound, freed, mode)
    (declared,), (place,) = step.types, bound.places
    kind, shape = DTYPES[declared.dtype].tensor, declared.shape
    half = mode == "typed" and declared.dtype == "FLOAT16" and not bound.unchanged
    summed = bound.looked_at and kind.is_floating_point
    fixed = None not in shape

    def execute() -> None:
        try:
            made = call()
            if made.__class__ is tuple:
                (made,) = made
            if made.dtype is not kind:
                made = _as_declared(made, declared, step)
            if made.shape != shape and not (not fixed and _fits(made.shape, shape)):
                raise _misshapen(step, 0, made)
        except Exception as error:
            raise _failed(step, error) from error
        if half:
            made = made.half().float()
        if summed:
            sums.append(made.sum())
        values[place] = made
        for old in freed:
            values[old] = None

    return execute


def _several(run: Run, bound: Bound, freed: tuple[int, ...], mode: Mode) -> Callable[[], None]:
    """Runs a step of no result, of several, or of results that are no tensors."""
    step, values, sums = bound.step, run.values, run.sums

    def execute() -> None:
        for place, made, declared in zip(bound.places, _made(bound), step.types, strict=True):
            if isinstance(made, torch.Tensor):
                if mode == "typed" and not bound.unchanged:
                    made = rounded(made, declared.dtype)
                if bound.looked_at and made.is_floating_point():
                    sums.append(made.sum())
            values[place] = made
        for old in freed:
            values[old] = None

    return execute


def _watched(run: Run, bound: Bound, freed: tuple[int, ...]) -> Callable[[], None]:
    """Runs a step, shows its results, and sounds the alarm where what is not finite arises."""
    step, values = bound.step, run.values

    def execute() -> None:
        results = []
        given = [values[place] for place in bound.binding.places]
        for place, name, exact, declared in zip(
            bound.places, step.outputs, _made(bound), step.types, strict=True
        ):
            made = exact
            if isinstance(exact, torch.Tensor):
                if run.mode == "typed":
                    made = rounded(exact, declared.dtype)
                found = alarm(step.number, step.operation, name, exact, made)
                if found is not None and _arises(found, given, bound.constants):
                    run.alarms.append(found)
                results.append(made)
            values[place] = made
        if run.observer is not None:
            run.observer(step, tuple(results))
        for old in freed:
            values[old] = None

    return execute


def _arises(found: Alarm, given: Sequence[Any], constants: Sequence[Constant]) -> bool:
    """Whether NaN, or else infinity, is in a result and in none of the inputs."""
    tensors = [
        each for each in given if isinstance(each, torch.Tensor) and each.is_floating_point()
    ]
    tensors += [
        as_tensor(each)
        for each in constants
        if each.dtype in DTYPES and DTYPES[each.dtype].floating
    ]
    if found.nan:
        return not any(bool(torch.isnan(each).any()) for each in tensors)
    return all(bool(torch.isfinite(each).all()) for each in tensors)


def _made(bound: Bound) -> tuple[Any, ...]:
    """A step's results, of the declared types and sizes."""
    step = bound.step
    try:
        made = bound.binding.call()
        results = made if isinstance(made, tuple) else (made,)
        if len(results) != len(step.types):
            raise StepError(f"it gives {len(results)} results where {len(step.types)} are declared")
        checked = []
        for index, (result, declared) in enumerate(zip(results, step.types, strict=True)):
            if isinstance(result, torch.Tensor):
                result = _as_declared(result, declared, step)
                if not _fits(result.shape, declared.shape):
                    raise _misshapen(step, index, result)
            checked.append(result)
    except Exception as error:
        raise _failed(step, error) from error
    return tuple(checked)


def _fits(shape: Sequence[int], declared: Sequence[int | None]) -> bool:
    return len(shape) == len(declared) and all(
        wanted is None or size == wanted for size, wanted in zip(shape, declared, strict=True)
    )


def _as_declared(made: Any, declared: TensorType, step: Step) -> Tensor:
    """Whole numbers in their declared width; nothing becomes a float, or stops being one, here."""
    kind = DTYPES[declared.dtype].tensor if declared.dtype in DTYPES else None
    if not isinstance(made, torch.Tensor) or kind is None:
        raise StepError(f"it gives a {type(made).__name__} where {declared.dtype} is declared")
    if made.dtype == kind:
        return made
    if made.is_floating_point() != kind.is_floating_point or torch.bool in (made.dtype, kind):
        raise StepError(f"it gives {made.dtype} where {declared.dtype} is declared")
    return made.to(kind)


def _misshapen(step: Step, index: int, made: Tensor) -> StepError:
    sizes = ["?" if size is None else size for size in step.types[index].shape]
    shown = "[" + ", ".join(map(str, sizes)) + "]"
    return StepError(f"it gives {list(made.shape)} where {shown} is declared")


def _failed(step: Step, error: Exception) -> Exception:
    """An error with the operation that it is about, told once."""
    if isinstance(error, _Located):
        return error
    if isinstance(error, StepError):
        return _Located(f"{step.place}: {error.message}", error.hint)
    text = " ".join(str(error).split())[:400]
    if isinstance(error, Unsupported | Undefined):
        return _Located(f"{step.place} cannot be evaluated: {text}")
    return _Located(f"{step.place} fails: {type(error).__name__}: {text}")


class _Located(StepError):
    """An error that names its operation; those around it, which hold its block, add nothing."""
