"""What a model's own precision costs it: the least error that can be asked of an artifact.

The original is run in float64, which stands for exact arithmetic, and compared with itself in its own
precision, in float16, where each operation computes in float32 and rounds its result, and with its weights
alone rounded to float16, as runtimes have it that widen them before they compute. A deep or
ill-conditioned model loses digits in any runtime, torch included: an artifact in float32 that is a thousand
times further from the original than torch is from exact arithmetic is wrong, however small that is, and one
that is as far is right, however large.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...kit.protocol import arrays
from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from ...kit.run import batches
from ...kit.run.measurement import Session
from ...kit.run.signals import NOT_FINITE, signal_errors
from .. import runtime
from ..original import model
from . import lost_digits
from .emulation import FoldedWeights, precision, rounded_weights

SAMPLES = 32
"""More tell nothing new of rounding: it is an average over all elements of an output."""
SUSPECT = {"float32": 1e-3, "float16": 3e-2}
"""Where a precision costs more, the operation at which it does is named."""

PRELOAD = {
    "floor": (
        "encodings.cp437",
        "numpy.ma",
        "numpy.random",
        "safetensors.torch",
        "torch._dynamo.callback",  # Dispatch modes bring it, with all of sympy.
    )
}
"""What the step imports late; see `toolchains/inside/forks.py`."""


def floor(request: Request) -> None:
    """Writes `floor` (`floor.json`): by precision and output its `signal_error`, or the `reason` for none.

    `float32` is the model in its own precision, `float16 weights` the exact one with rounded weights, or with
    what it computes of weights alone rounded, whichever costs more; `float16 constants` has the numbers that
    its code says rounded besides. `lost`
    tells by precision at which operation most of it arises, where that is much; see `lost_digits`. What keeps
    a model from another precision is no fault of the build's: it is said in the file, and gates that need the
    figure say it on.

    Inputs: `samples`; the model's files, or `artifact` and `io` where the original is a file.
    Options: `ports`, `outputs`, `source`.

    Raises:
        StepError: The model cannot be made or does not take the samples.
    """
    session, module = original(request)
    ports: list[dict[str, Any]] = request.options["ports"]
    names: list[str] = request.options["outputs"]
    drawn = arrays.load(request.inputs["samples"])
    feeds = {port["name"]: drawn[port["name"]][:SAMPLES] for port in ports}
    plan = batches.plan(ports, None, True)

    def run(dtype: torch.dtype | None, within: Any = None) -> arrays.Arrays | str:
        kind = None if dtype is None else _numpy(dtype)
        fed = {name: _cast(array, kind) for name, array in feeds.items()}
        if dtype is None:
            return batches.run(session.run, fed, plan, names).outputs
        try:
            with precision(module, dtype), within or nullcontext():
                return batches.run(session.run, fed, plan, names).outputs
        except Exception as error:  # Whatever the user's code raises where it is given other types.
            word = str(dtype).removeprefix("torch.")
            text = error.message if isinstance(error, StepError) else f"{error}"
            lines = text.strip().splitlines() or [type(error).__name__]
            # TorchScript begins with a trace, and ends with what is wrong.
            told = lines[-1] if lines[0].startswith("The following operation failed") else lines[0]
            return f"the original does not run in {word}: {told[:300]}"

    own, exact, half = run(None), run(torch.float64), run(torch.float16)
    with rounded_weights(module):
        narrow = signal_errors(run(torch.float64), exact, names)
    folding = FoldedWeights(module, numbers=True)
    constants = signal_errors(run(torch.float64, folding), exact, names)
    if folding.folded:
        folded = signal_errors(run(torch.float64, FoldedWeights(module)), exact, names)
        narrow = {name: _worse(narrow[name], folded[name]) for name in names}
    record: dict[str, Any] = {
        "samples": len(next(iter(feeds.values()))),
        "float32": signal_errors(own, exact, names),
        "float16": signal_errors(half, exact, names),
        "float16 weights": narrow,
        "float16 constants": {name: _worse(narrow[name], constants[name]) for name in names},
    }
    record["lost"] = {
        word: found
        for word, dtype in (("float32", torch.float32), ("float16", torch.float16))
        if _suspect(record[word].values(), SUSPECT[word])
        and (found := _lost(session, module, dtype, feeds, plan)) is not None
    }
    request.outputs["floor"].write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def _worse(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What costs more; what has no figure is passed over."""
    return max(one, other, key=lambda each: each.get("signal_error", -1.0))


def _suspect(errors: Iterable[Mapping[str, Any]], most: float) -> bool:
    """Whether a precision costs an output much, or what it gives is not finite."""
    return any(
        each["signal_error"] > most if "signal_error" in each else NOT_FINITE in each["reason"]
        for each in errors
    )


def _lost(
    session: Session, module: Any, dtype: torch.dtype, feeds: arrays.Arrays, plan: batches.Plan
) -> dict[str, Any] | None:
    """Where the digits are lost; `None` where that is not known."""

    def once(number: int, kind: torch.dtype) -> None:
        one = {name: array[number : number + 1] for name, array in feeds.items()}
        fed = batches.example(one, plan, plan.least)
        session.run({name: _cast(array, _numpy(kind)) for name, array in fed.items()})

    try:
        found = lost_digits.find(module, once, len(next(iter(feeds.values()))), dtype)
    except Exception as error:  # The figures stand without it.
        print(f"where {dtype} loses digits is not known: {error}")
        return None
    return None if found is None else asdict(found)


def _numpy(dtype: torch.dtype) -> np.dtype[Any]:
    kind: np.dtype[Any] = torch.empty(0, dtype=dtype).numpy().dtype
    return kind


def original(request: Request) -> tuple[Session, Any]:
    """What runs the original, and the module in it."""
    if request.options["source"]["kind"] == "factory":
        eager = model.load(request)
        return eager, eager.module
    contract = Contract.read(request.inputs["io"])
    loaded = runtime.load(request.inputs["artifact"], contract, request.threads)
    return loaded, loaded.module


def _cast(array: NDArray[Any], kind: np.dtype[Any] | None) -> NDArray[Any]:
    return array if kind is None or array.dtype.kind != "f" else array.astype(kind)
