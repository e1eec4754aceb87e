"""Calls every case's operation with torch; run in the toolchain as a module.

Prints one JSON object:

    failures: Case to what is wrong.
    folded: Case to what coremltools computes otherwise when it folds constants, or to nothing: a second
        opinion on the same calls.
    parameters: Operation to its parameters and their defaults, as text.
    inputs: Operation to all inputs that any version of coremltools' has.
    registered: The operations that can be evaluated, those that are defined outside of `ops` too.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

import numpy as np
import torch

from buildsys.backends.coreml.evaluator import control, interface, ops  # noqa: F401 - they register.
from buildsys.backends.coreml.evaluator.registry import REGISTERED, TensorType
from buildsys.backends.coreml.libraries import ct

from .case import Case
from .cases import CASES

TOLERANCE = 2e-5
"""Largest error, as a share of the largest expected number or 1."""


def wrong(found: list[Any], case: Case, *, types: bool = True) -> str | None:
    """What is wrong with results, or nothing."""
    expected = case.expected if isinstance(case.expected, tuple) else (case.expected,)
    if len(found) != len(expected):
        return f"{len(found)} results, not {len(expected)}"
    for got, want in zip(found, expected, strict=True):
        assert isinstance(want, np.ndarray)
        kind = np.dtype(np.float32) if want.dtype.kind == "f" else want.dtype
        if types and got.dtype != kind:
            return f"of type {got.dtype}, not {kind}"
        if got.shape != want.shape:
            return f"of shape {got.shape}, not {want.shape}"
        scale = np.abs(want).max(initial=1.0) if want.dtype.kind == "f" else 0.0
        apart = np.abs(got.astype(np.float64) - want)
        if not (apart <= TOLERANCE * scale).all():
            return f"{apart.max():.2g} apart: {got.ravel()[:8]}, not {want.ravel()[:8]}"
    return None


def _tensor(value: Any) -> Any:
    if isinstance(value, tuple) and any(isinstance(each, np.ndarray) for each in value):
        return tuple(_tensor(each) for each in value)
    return torch.from_numpy(np.array(value, order="C")) if isinstance(value, np.ndarray) else value


def _declared(case: Case) -> tuple[TensorType, ...]:
    """The types that a program would declare for the results; whole numbers where something is raised."""
    if isinstance(case.expected, str):
        return (TensorType("INT32", ()),)
    expected = case.expected if isinstance(case.expected, tuple) else (case.expected,)
    words = {"f": "FLOAT32", "i": "INT32", "b": "BOOL"}
    return tuple(TensorType(words[each.dtype.kind], each.shape) for each in expected)


def _failure(case: Case) -> str | None:
    given = {name: _tensor(value) for name, value in case.given.items()}
    operation = REGISTERED.get(case.operation)
    if operation is None:
        return "is not registered"
    if "out" in operation.parameters:
        given["out"] = _declared(case)
    try:
        with torch.inference_mode():
            result = operation.function(**given)
    except Exception as error:
        if isinstance(case.expected, str) and type(error).__name__ == case.expected:
            named = case.operation in str(error)
            return None if named else f"the message does not name the operation: {error}"
        return f"{type(error).__name__}: {error}"
    if isinstance(case.expected, str):
        return f"no {case.expected} is raised"
    for name, value in case.given.items():
        if isinstance(value, np.ndarray) and not np.array_equal(
            value, given[name].numpy(), equal_nan=value.dtype.kind == "f"
        ):
            return f"changes its input {name}"
    return wrong(
        [each.numpy() for each in (result if isinstance(result, tuple) else (result,))], case
    )


def _folded(case: Case) -> list[Any] | None:
    """What coremltools makes of the call, where it folds constants of this operation."""
    build = ct.converters.mil.mil.Builder
    made: list[Any] = []

    def program(unused: Any) -> Any:
        given = {
            name: np.array(v) if isinstance(v, np.ndarray) else v for name, v in case.given.items()
        }
        result = getattr(build, case.operation)(**given)
        made.extend(result if isinstance(result, (list, tuple)) else [result])
        return build.identity(x=unused)

    specs = [build.TensorSpec((1,))]
    try:
        build.program(input_specs=specs, opset_version=ct.target.iOS18)(program)
        values = [each.val for each in made]
    except Exception:  # Its limits are not ours: a rank, a type, a form of an older version.
        return None
    return None if any(value is None for value in values) else [np.asarray(v) for v in values]


def main() -> None:
    failures = {name: why for name, case in CASES.items() if (why := _failure(case))}
    folded = {
        name: wrong(values, case, types=False)
        for name, case in CASES.items()
        if not isinstance(case.expected, str) and (values := _folded(case)) is not None
    }
    parameters = {
        name: {
            each.name: None if each.default is inspect.Parameter.empty else repr(each.default)
            for each in operation.parameters.values()
            if each.name != "out"
        }
        for name, operation in REGISTERED.items()
        if operation.function.__module__.startswith(ops.__name__)
    }
    versions = ct.converters.mil.mil.ops.registry.SSAOpRegistry.core_ops
    inputs = {
        name: sorted({word for each in classes.values() for word in each.input_spec.input_types})
        for name, classes in versions.items()
    }
    found = {"failures": failures, "folded": folded, "parameters": parameters, "inputs": inputs}
    print(json.dumps(found | {"registered": sorted(REGISTERED)}))


if __name__ == "__main__":
    main()
