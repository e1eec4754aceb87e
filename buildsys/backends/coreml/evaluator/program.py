"""An ML program, loaded from its package and ready to run, operation by operation.

Two modes: `typed` rounds every float result once to the type that the program declares for it, and `fp32`
rounds none, which isolates the graph and the weights. Arithmetic is in float32 in both: how a device
accumulates is not in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...kit.protocol.request import StepError
from . import control, interface, ops  # noqa: F401 - they register operations.
from .binding import Source, as_tensor, bind
from .compression import PREFIX, decode, known
from .constants import Constant, read, tensor_type
from .dtypes import DTYPES
from .execution import Body, Bound, Mode, Observer, Run, rounded
from .finiteness import HANDING_ON, UNCHANGING, looked_at
from .package import Package
from .registry import REGISTERED, State, TensorType
from .steps import Alarm, Step, alarm

Types = dict[str, TensorType]
Scope = dict[str, Source]


class Program:
    """One function of a package. It runs one feed at a time.

    Attributes:
        inputs: What it takes, as the model describes it.
        outputs: What it gives.
        steps: Its operations that are no constants, in the file's order.
        constants: All constants by name, decoded.
        alarms: Results of the last run that were not finite, where that arose.
        constant_alarms: Constants that are not finite.
    """

    def __init__(self, package: Package, function: str) -> None:
        """Binds every operation of a function.

        Raises:
            StepError: An operation has an unknown or unfit input, or the file is damaged.
        """
        described = package.interface(function)
        self.inputs = interface.inputs(described)
        self.outputs = interface.outputs(described)
        self._run = Run()
        self.alarms: tuple[Alarm, ...] = ()
        loader = _Loader(package, self._run)
        held = package.functions[function]
        self._types = {each.name: tensor_type(each.type) for each in held.inputs}
        self._names = tuple(self._types)
        self._states = tuple(
            each.name for each in held.inputs if each.type.WhichOneof("type") == "stateType"
        )
        self._check_names()
        (block,) = (
            (held.block_specializations[held.opset],)
            if held.opset in held.block_specializations
            else tuple(held.block_specializations.values())
        )
        self._given = tuple(block.outputs)
        missing = [each.name for each in self.outputs if each.name not in self._given]
        if missing:
            raise StepError(f"the program gives no `{missing[0]}`, which its model describes")
        self._body = loader.block(block, self._names, {}, self._types)
        self._unknown = loader.unknown
        self.steps = tuple(loader.steps)
        self.constants: Mapping[str, Constant] = loader.constants
        self.constant_alarms = tuple(
            found for each in loader.constants.values() if (found := _constant_alarm(each))
        )

    @classmethod
    def open(cls, path: Path, function: str | None = None) -> Program:
        """Loads a function of a package, by default the one that runs where none is named.

        Raises:
            StepError: The package is damaged, or an input of an operation is not known. What
                `unsupported` lists is an error of `run` only.
        """
        package = Package(path)
        return cls(package, package.default if function is None else function)

    def unsupported(self) -> list[str]:
        """Types of operations that cannot be evaluated, sorted; nothing is run."""
        return sorted(self._unknown)

    def new_state(self) -> dict[str, State]:
        """What the states hold before the first run: zeros."""
        return {
            name: State(torch.zeros(_sizes(self._types[name]), dtype=_kind(self._types[name])))
            for name in self._states
        }

    def run(
        self,
        feed: Mapping[str, np.ndarray],
        mode: Mode = "typed",
        state: dict[str, State] | None = None,
        observe: Observer | None = None,
    ) -> dict[str, Any]:
        """Runs the function once; afterwards `alarms` tells of what is not finite.

        Args:
            feed: Input name to array; a picture is [height, width, 3] in the order red, green, blue,
                or [height, width], from 0 to 255.
            mode: `typed` or `fp32`; see the module.
            state: From `new_state`, and changed by the run; `None` starts with a new one.
            observe: Called after each operation with the step and its results, of nested blocks at
                each time that they run.

        Returns:
            Output name to array; a classifier's label is a string or a whole number, and its
            probabilities are a dictionary from class to number.

        Raises:
            StepError: The program has unsupported operations, an input is missing, unknown or of
                other sizes than described, or an operation fails or gives what is not declared.
        """
        if self._unknown:
            raise StepError(
                f"the program has operations that are not evaluated: {', '.join(self.unsupported())}"
            )
        if mode not in ("typed", "fp32"):
            raise ValueError(f"no mode {mode!r}")
        kept = self.new_state() if state is None else state
        before = {name: each.tensor for name, each in kept.items()}
        with torch.inference_mode():
            given = self._tensors(feed, mode)
            given.update(kept)
            found = self._pass(given, mode, observe, watched=observe is not None)
            if not self._run.watched and not self._run.finite():
                for name, tensor in before.items():
                    kept[name].tensor = tensor
                found = self._pass(given, mode, None, watched=True)
        self.alarms = tuple(self._run.alarms)
        self._run.reset(mode, None, watched=False)
        return {each.name: each.array(found[each.name]) for each in self.outputs}

    def _pass(
        self, given: Mapping[str, Any], mode: Mode, observe: Observer | None, *, watched: bool
    ) -> dict[str, Any]:
        self._run.reset(mode, observe, watched)
        found = self._body(*(given[name] for name in self._names))
        return dict(zip(self._given, found, strict=True))

    def _tensors(self, feed: Mapping[str, np.ndarray], mode: Mode) -> dict[str, Any]:
        unknown = feed.keys() - {each.name for each in self.inputs}
        if unknown:
            raise StepError(f"the package has no input `{min(unknown)}`", f"it has {self._known()}")
        found = {}
        for feature in self.inputs:
            if feature.name in feed:
                given = np.asarray(feed[feature.name])
            elif feature.default is not None:
                given = np.full(feature.shape, feature.default, feature.dtype)
            else:
                raise StepError(f"the input `{feature.name}` is missing")
            declared = self._types[feature.name]
            tensor = feature.tensor(given, declared)
            found[feature.name] = rounded(tensor, declared.dtype) if mode == "typed" else tensor
        return found

    def _known(self) -> str:
        return ", ".join(f"`{each.name}`" for each in self.inputs) or "none"

    def _check_names(self) -> None:
        described = {each.name for each in self.inputs} | set(self._states)
        if described != set(self._names):
            raise StepError(
                f"the model describes the inputs {sorted(described)}, and its program takes "
                f"{sorted(self._names)}"
            )


class _Loader:
    """Goes through a function's blocks and binds their operations."""

    def __init__(self, package: Package, run: Run) -> None:
        self._package = package
        self._run = run
        self._reads: set[int] = set()
        self.steps: list[Step] = []
        self.unknown: set[str] = set()
        self.constants: dict[str, Constant] = {}

    def block(
        self, block: Any, inputs: tuple[str, ...], outer: Scope, types: Mapping[str, TensorType]
    ) -> Body:
        """Binds a block.

        Args:
            block: `MIL.Block`.
            inputs: Names that its values are given for when it runs.
            outer: What the names around it stand for.
            types: Declared types of all names in sight.
        """
        scope, types = dict(outer), dict(types)
        enclosing, self._reads = self._reads, set()
        last: dict[int, int] = {}
        places = [self._place() for _ in inputs]
        scope.update(zip(inputs, places, strict=True))
        last.update(dict.fromkeys(places, -1))
        bound: list[Bound] = []
        for op in block.operations:
            self._reads = set()
            if op.type == "const" or op.type.startswith(PREFIX):
                self._constant(op, scope)
                continue
            made = self._bind(op, scope, types)
            if made is None:
                continue
            bound.append(made)
            for place in self._reads:
                if place in last:
                    last[place] = len(bound) - 1
            enclosing |= self._reads
            last.update(dict.fromkeys(made.places, len(bound) - 1))
        outputs = [self._source(name, scope) for name in block.outputs]
        enclosing |= {each for each in outputs if isinstance(each, int)}
        self._reads = enclosing
        freed: list[list[int]] = [[] for _ in bound]
        for place, index in last.items():
            if place not in outputs and index >= 0:
                freed[index].append(place)
        looked = looked_at([each.step for each in bound], [each.unchanged for each in bound])
        bound = [replace(e, looked_at=each) for e, each in zip(bound, looked, strict=True)]
        return Body(self._run, places, bound, outputs, [tuple(each) for each in freed])

    def _bind(self, op: Any, scope: Scope, types: Types) -> Bound | None:
        """Binds an operation, or notes that it is not known."""
        number = len(self.steps) + 1
        outputs = tuple(each.name for each in op.outputs)
        given, names = self._given(op, scope)
        step = Step(
            number,
            op.type,
            outputs,
            names,
            tuple(n for each in names.values() for n in each if isinstance(scope.get(n), Constant)),
            tuple(tensor_type(each.type) for each in op.outputs),
        )
        self.steps.append(step)
        reads = {s for sources in given.values() for s in sources if isinstance(s, int)}
        blocks = []
        for block in op.blocks:
            inner = tuple(each.name for each in block.inputs)
            declared = {each.name: tensor_type(each.type) for each in block.inputs}
            self._reads = reads
            blocks.append(self.block(block, inner, scope, {**types, **declared}))
            reads = self._reads
        self._reads = reads
        places = tuple(self._place() for _ in outputs)
        scope.update(zip(outputs, places, strict=True))
        types.update(zip(outputs, step.types, strict=True))
        operation = REGISTERED.get(op.type)
        if operation is None:
            self.unknown.add(op.type)
            return None
        try:
            binding = bind(operation, given, self._run.values, step.types, tuple(blocks))
        except StepError as error:
            raise StepError(f"{step.place}: {error.message}", error.hint) from error
        sources = [each for several in given.values() for each in several]
        constants = tuple(each for each in sources if isinstance(each, Constant))
        return Bound(step, binding, places, constants, _unchanged(step, names, constants, types))

    def _given(
        self, op: Any, scope: Scope
    ) -> tuple[dict[str, list[Source]], dict[str, tuple[str, ...]]]:
        given: dict[str, list[Source]] = {}
        names: dict[str, tuple[str, ...]] = {}
        known_order = list(REGISTERED[op.type].parameters) if op.type in REGISTERED else []
        # A message's map has no order of its own.
        in_order = sorted(
            op.inputs,
            key=lambda n: (known_order.index(n) if n in known_order else len(known_order), n),
        )
        for parameter in in_order:
            argument = op.inputs[parameter]
            given[parameter] = [
                self._source(each.name, scope)
                if each.WhichOneof("binding") == "name"
                else self._read("", each.value)
                for each in argument.arguments
            ]
            names[parameter] = tuple(each.name for each in argument.arguments)
        for parameter, value in op.attributes.items():
            if parameter != "name":
                given[parameter], names[parameter] = [self._read("", value)], ("",)
        return given, names

    def _constant(self, op: Any, scope: Scope) -> None:
        """A constant, or a compressed one, which is decoded."""
        names = [each.name for each in op.outputs]
        if op.type == "const":
            found = [self._read(names[0], op.attributes["val"])]
        elif not known(op.type):
            self.unknown.add(op.type)
            scope.update(
                {name: Constant(name, "FLOAT32", np.zeros(0, np.float32)) for name in names}
            )
            return
        else:
            given, _ = self._given(op, scope)
            found = self._decoded(op, given)
        for constant, declared in zip(found, op.outputs, strict=True):
            wanted = tensor_type(declared.type)
            if isinstance(constant.value, np.ndarray) and (
                constant.dtype != wanted.dtype or constant.value.shape != wanted.shape
            ):
                raise StepError(
                    f"`{op.type}` makes `{constant.name}` {constant.dtype} "
                    f"{list(constant.value.shape)}, and it is declared {wanted.dtype} "
                    f"{list(wanted.shape)}"
                )
            scope[constant.name] = self.constants[constant.name] = constant

    def _decoded(self, op: Any, given: Mapping[str, list[Source]]) -> list[Constant]:
        held: dict[str, Constant] = {}
        for parameter, sources in given.items():
            (source,) = sources
            if not isinstance(source, Constant):
                raise StepError(f"`{op.type}` takes `{parameter}` from something computed")
            held[parameter] = source
        try:
            arrays = decode(op.type, held)
        except StepError as error:
            raise StepError(f"`{op.outputs[0].name}`: {error.message}", error.hint) from error
        found = []
        for array, output in zip(arrays, op.outputs, strict=True):
            declared = tensor_type(output.type).dtype
            if declared not in DTYPES or array.dtype != DTYPES[declared].array:
                raise StepError(f"`{op.type}` makes {array.dtype} where {declared} is declared")
            found.append(Constant(output.name, declared, array))
        return found

    def _read(self, name: str, value: Any) -> Constant:
        return read(name, value, self._package.blob)

    def _source(self, name: str, scope: Scope) -> Source:
        if name not in scope:
            raise StepError(f"the program uses `{name}` before anything makes it")
        return scope[name]

    def _place(self) -> int:
        self._run.values.append(None)
        return len(self._run.values) - 1


def _unchanged(
    step: Step,
    names: Mapping[str, tuple[str, ...]],
    constants: tuple[Constant, ...],
    types: Mapping[str, TensorType],
) -> bool:
    """Whether rounding would change nothing: elements of inputs that all have the declared type."""
    if step.operation in HANDING_ON:
        return True
    given = {types[n].dtype for each in names.values() for n in each if n in types}
    given |= {each.dtype for each in constants}
    floats = {each for each in given if each in DTYPES and DTYPES[each].floating}
    made = {each.dtype for each in step.types}
    return step.operation in UNCHANGING and floats <= made and len(made) == 1


def _constant_alarm(constant: Constant) -> Alarm | None:
    if constant.dtype not in DTYPES or not DTYPES[constant.dtype].floating:
        return None
    if np.isfinite(constant.array).all():
        return None
    tensor = as_tensor(constant)
    return alarm(0, "const", constant.name, tensor, tensor)


def _sizes(declared: TensorType) -> tuple[int, ...]:
    if None in declared.shape:
        raise StepError("a state of open sizes is declared, which is not evaluated")
    return tuple(size for size in declared.shape if size is not None)


def _kind(declared: TensorType) -> torch.dtype:
    return DTYPES[declared.dtype].tensor
