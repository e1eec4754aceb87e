"""Finds the first operation of an artifact that differs from the original; a built-in step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect import probing
from buildsys.backends.kit.inspect.probing import Recording, Step
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.bounds import OUTPUT_CEILINGS, OUTPUT_FLOORS
from buildsys.figures.json_form import to_json
from buildsys.figures.location import Location, Operation, OutputErrors, Overflow, Source, TableRow
from buildsys.verify.judgment.defaults import default_bounds
from buildsys.verify.localization.alignment import Row
from buildsys.verify.localization.divergence import Comparison, Divergence
from buildsys.verify.localization.operator_names import plain
from buildsys.verify.localization.tensor_matching import Tensor, error

FLOORS = {None: 1e-4, "weight-only": 2e-2, "float16": 5e-3}
"""What the precision of a scheme alone makes an operation's error; see `OTHER_FLOOR`."""

OTHER_FLOOR = 5e-2
"""The same for activations in eight bits."""

FLOAT16_LIMIT = 65504.0
"""The largest finite number of float16 (IEEE 754 binary16)."""

CAST = "cast"
"""Core ML's word for a change of the type alone."""

LOSSY = ("float16", "static", "dynamic", "weight-only")


def locate(request: Request) -> None:
    """Writes `location` (`location.json`).

    Inputs: `steps` and `tensors` of the artifact, `reference_steps` and `reference_tensors` of the
    original; see `kit.inspect.probing`; `varies`, as `choose` writes it.
    Options: `label`, `format`, `scheme`, `outputs`, `bounds` (the deployable's).

    Raises:
        StepError: The two were not run on the same.
    """
    artifact = probing.read(request.inputs["steps"], request.inputs["tensors"])
    original = probing.read(request.inputs["reference_steps"], request.inputs["reference_tensors"])
    if not original.steps:
        raise StepError("the original computes nothing that could be compared")
    varies = json.loads(request.inputs["varies"].read_text())
    location = Localization(artifact, original, request.options, varies).location()
    text = json.dumps(to_json(location), indent=1, allow_nan=False, ensure_ascii=False)
    request.outputs["location"].write_text(text + "\n", encoding="utf-8")


class Localization:
    """What is said of one deployable.

    Args:
        artifact: What it computes.
        original: What the original computes.
        options: As of `locate`.
        varies: How much outputs vary over the samples, as far as it is known.
    """

    def __init__(
        self,
        artifact: Recording,
        original: Recording,
        options: Mapping[str, Any],
        varies: Mapping[str, float],
    ) -> None:
        self._varies = varies
        self._artifact = artifact
        self._original = original
        self._options = options
        scheme = options["scheme"]
        self._scheme: str | None = scheme
        self._floor = FLOORS.get(scheme, OTHER_FLOOR)
        bounds = options["bounds"]
        self._limit = float(bounds.get("signal_error", default_bounds(scheme)["signal_error"]))
        if scheme is None and "floor_ratio" in bounds:
            # Judged by what its precision costs, it may be rejected for less than that bound.
            self._limit = min(self._limit, self._floor)
        specific = options.get("output_bounds", {})
        self._limits = {
            name: float(specific.get(name, {}).get("signal_error", self._limit))
            for name in options["outputs"]
        }
        self._notes = [*artifact.notes, *original.notes]

    def location(self) -> Location:
        """What is said of it."""
        errors = self._errors(self._artifact.given)
        shipped = self._errors(self._artifact.shipped) if self._artifact.shipped else errors
        comparison = Comparison(self._artifact, self._original, self._floor)
        wrong = [name for name in self._judged() if not errors[name] <= self._limits[name]]
        divergence = comparison.part(wrong)
        kind, words = self._kind(divergence, errors, shipped, comparison, wrong)
        at = divergence.at if kind in ("op", "input", "overflow") else None
        reference = divergence.reference or _begun(at, divergence.rows) if at is not None else None
        module, source = self._place(at, reference)
        if at is not None and at.reference is None:
            at.reference = reference
        return Location(
            label=self._options["label"],
            format=self._options["format"],
            scheme=self._scheme,
            found=kind != "healthy",
            kind=kind,
            in_words=words,
            operation=_operation(at.step) if at is not None else None,
            module=module,
            source=source,
            reference_op=reference.operation if reference is not None else None,
            error=_number(divergence.error) if at is not None else None,
            before=_number(divergence.before) if at is not None else None,
            # Where the error grew most may still be an operation that nothing explains.
            gradual=divergence.grew and at is not None and at.explained,
            overflow=self._overflow(at, reference, comparison) if kind == "overflow" else None,
            cure=self._cure(kind, at, module, comparison),
            explanation=None,
            tolerance=self._limit,
            outputs={n: OutputErrors(_number(e), _number(shipped[n])) for n, e in errors.items()},
            largest_step=_table_row(divergence.largest_step) if divergence.largest_step else None,
            runtime=self._artifact.runtime,
            reference_runtime=self._original.runtime,
            notes=tuple(self._notes),
            table=tuple(_table_row(row) for row in divergence.rows),
        )

    def _judged(self) -> list[str]:
        """The outputs that a bound is on; all where none is, or where the task's metric decides."""
        outputs: list[str] = self._options["outputs"]
        general, specific = self._options["bounds"], self._options.get("output_bounds", {})
        if not specific or set(general) & {*OUTPUT_CEILINGS, *OUTPUT_FLOORS, "metric_drop"}:
            return outputs
        return [name for name in outputs if name in specific]

    def _errors(self, given: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """The error of each output, over the runs; infinite where shapes or strays differ."""
        found = {}
        for name in self._options["outputs"]:
            mine, theirs = given.get(name), self._original.given.get(name)
            found[name] = _error(mine, theirs, self._varies.get(name))
        return found

    def _kind(
        self,
        divergence: Divergence,
        errors: Mapping[str, float],
        shipped: Mapping[str, float],
        comparison: Comparison,
        wrong: Sequence[str],
    ) -> tuple[str, str | None]:
        if not wrong:
            late = [n for n in self._judged() if not shipped[n] <= self._limits[n]]
            if not late:
                return "healthy", None
            return "runtime", (
                f"op by op, nothing differs; but {self._artifact.runtime.partition(',')[0]} as it is "
                f"shipped gives another `{late[0]}`: its own rewriting of the graph changes the result"
            )
        swapped = self._swapped(wrong)
        if swapped:
            return "output-order", swapped
        at = divergence.at
        if at is None:
            return "output-order", (
                f"every operation gives what the original's does, and `{wrong[0]}` differs still: "
                "another value, or another order of axes, is taken for the output"
            )
        arose = at.strays and self._all_finite(at.step)
        if arose and not comparison.original_strays(at, divergence.reference):
            return "overflow", None
        fed = set(self._artifact.inputs.values())
        if at.step.inputs and set(at.step.inputs) <= fed and not at.step.weights:
            return "input", (
                "it goes wrong at the very input: what is done to it first (scale, order of "
                "channels or of axes) is not what the model expects"
            )
        return "op", None

    def _all_finite(self, step: Step) -> bool:
        values = self._artifact.values
        return all(bool(np.isfinite(values[n]).all()) for n in step.inputs if n in values)

    def _swapped(self, wrong: Sequence[str]) -> str | None:
        """Whether wrong outputs are other outputs of the original, in words."""
        said = []
        for name in wrong:
            mine = self._artifact.given.get(name)
            for other, theirs in self._original.given.items():
                if other != name and _error(mine, theirs) <= self._limit:
                    said.append(f"`{name}` is the original's `{other}`")
                    break
        return f"outputs are in another order: {', '.join(said)}" if said else None

    def _place(self, at: Row | None, reference: Step | None) -> tuple[str | None, Source | None]:
        if at is None:
            return None, None
        module = reference.module if reference is not None else None
        if reference is None or module is None:
            module = self._named_module(at.step)
        if reference is None or reference.file is None:
            return module, None
        return module, Source(reference.file, reference.line, reference.text)

    def _named_module(self, step: Step) -> str | None:
        """The longest path of a module within an operation's own names."""
        told = [plain(n) for n in (step.name, *step.outputs, *step.weights)]
        paths = {s.module for s in self._original.steps if s.module}
        found = [p for p in paths if any(plain(p) in name for name in told)]
        return max(sorted(found), key=len, default=None)

    def _overflow(
        self, at: Row | None, reference: Step | None, comparison: Comparison
    ) -> Overflow | None:
        if at is None:
            return None
        largest = comparison.largest_without_rounding(at, reference)
        return Overflow(largest or 0.0, FLOAT16_LIMIT, at.strays)

    def _cure(
        self, kind: str, at: Row | None, module: str | None, comparison: Comparison
    ) -> Mapping[str, tuple[str, ...]] | None:
        """The line of the recipe, where a profile makes the artifact coarser than the original."""
        if at is None or self._scheme not in LOSSY or kind not in ("op", "overflow"):
            return None
        if kind == "op" and self._artifact.exact and not comparison.rounding_alone(at):
            return None  # It is wrong without any rounding: no precision mends it.
        kept = [module or at.step.name]
        if kind == "overflow":
            # What takes numbers that float16 cannot hold has to stay in float32 as well.
            beyond = [s for s in self._beyond(at.step) if s is not at.step]
            kept = [] if at.step.operation == CAST and beyond else kept
            kept += [self._named_module(s) or s.name for s in beyond]
        return {"keep_float": tuple(dict.fromkeys(kept))}

    def _beyond(self, step: Step) -> list[Step]:
        """A step, and those after it as long as they are given what float16 cannot hold.

        Casts are what the precision makes of the graph, so what they lead to stands for them.
        """
        consumers: dict[str, list[Step]] = {}
        for other in self._artifact.steps:
            for name in other.inputs:
                consumers.setdefault(name, []).append(other)
        found: dict[int, Step] = {}
        waiting = [step]
        while waiting:
            now = waiting.pop(0)
            if now.number in found:
                continue
            found[now.number] = now
            if now.operation == CAST or any(self._overflows(name) for name in now.outputs):
                waiting += [user for name in now.outputs for user in consumers.get(name, [])]
        return [s for s in found.values() if s.operation != CAST]

    def _overflows(self, name: str) -> bool:
        """Whether a value is beyond float16 where nothing is rounded; what is not known is not."""
        exact = self._artifact.exact.get(name)
        if exact is None or not np.isfinite(exact).all():
            return False
        return bool(np.abs(exact).max(initial=0.0) > FLOAT16_LIMIT)


def _begun(at: Row, rows: Sequence[Row]) -> Step | None:
    """The original's operator that an operation goes on with: what it takes lies within that one.

    A converter spells an operator out, and one of the parts is nothing that the original computes.
    """
    taken = set(at.step.inputs)
    for row in rows:
        reference = row.reference
        if reference is None or not row.explained or not taken & set(row.step.outputs):
            continue
        if any(":" in name for name in reference.outputs):  # It has parts; see `torch.pieces`.
            return reference
    return None


def _error(
    mine: NDArray[Any] | None, theirs: NDArray[Any] | None, varies: float | None = None
) -> float:
    if mine is None or theirs is None:
        return math.inf
    runs = min(len(mine), len(theirs))
    mine, theirs = mine[:runs], theirs[:runs]
    if mine.shape != theirs.shape:
        return math.inf
    return error(
        mine.reshape(runs, -1), theirs.reshape(runs, -1), varies or Tensor.of("", theirs).spread
    )


def _operation(step: Step) -> Operation:
    return Operation(
        step.number,
        step.operation,
        step.name,
        tuple(step.inputs),
        tuple(step.outputs),
        tuple(step.weights),
    )


def _table_row(row: Row) -> TableRow:
    reference = row.reference
    return TableRow(
        number=row.step.number,
        artifact_op=row.step.operation,
        name=row.step.name,
        reference_op=reference.operation if reference is not None else None,
        module=reference.module if reference is not None else None,
        error=_number(row.error),
        finite=row.strays == 0,
        largest=_number(row.largest),
        explained=row.explained,
    )


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
