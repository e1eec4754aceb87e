"""The original with the weights that an artifact holds: what its graph is compared with.

See `verify.held` for what is put in the place of what.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ...kit.inspect import single_numbers
from ...kit.inspect.single_numbers import SingleNumbers
from ...kit.protocol import arrays
from ...kit.protocol.request import Request
from ...kit.run import batches, edges
from ..original.state import named
from .floor import original

FACTORS = ("div", "mul")
"""Operators whose whole numbers a converter may keep as one over them."""

PRELOAD = {"rounded": ("encodings.cp437", "numpy.ma", "numpy.random", "safetensors.torch")}
"""What the step imports late; see `toolchains/inside/forks.py`."""


def rounded(request: Request) -> None:
    """Runs the original in its own precision, with some of its weights replaced.

    Where none are to be replaced, or one cannot be, nothing is run.

    Inputs: `samples`, `edges` and `held` (`.npz`); the model's files, or `artifact` and `io` where the
    original is a file. Options: `ports`, `outputs`, `source`.
    Outputs: `samples` and `edge_outputs` (`.npz`), as `kit.run.measurement.run_artifact` writes them, empty
    where nothing was run; `told` (`.json`): the `reason` why not, or `null`, and `numbers`: the places of the
    artifact's single numbers in float16 that no scalar of the model's code was; the others were put in the
    place of their scalars.

    Raises:
        StepError: The model cannot be made.
    """
    replaced = arrays.load(request.inputs["held"])
    beside = replaced.pop(single_numbers.NAME, None)
    numbers = SingleNumbers([] if beside is None else beside.tolist())
    given: arrays.Arrays = {}
    at_edges: arrays.Arrays = {}
    reason: str | None = "none of its weights is rounded"
    if replaced:
        session, module = original(request)
        reason = _replace(module, replaced)
    if reason is None:
        ports: list[dict[str, Any]] = request.options["ports"]
        names: list[str] = request.options["outputs"]
        drawn = arrays.load(request.inputs["samples"])
        feeds = {port["name"]: drawn[port["name"]] for port in ports}
        plan = batches.plan(ports, None, True)
        fed = arrays.load(request.inputs["edges"])
        with _WithNumbers(numbers), _WithScales(numbers):
            given = batches.run(session.run, feeds, plan, names).outputs
            at_edges = edges.artifact(session.run, fed, plan, names)
    arrays.save(request.outputs["samples"], given)
    arrays.save(request.outputs["edge_outputs"], at_edges)
    told = {"reason": reason, "numbers": numbers.others()}
    request.outputs["told"].write_text(json.dumps(told) + "\n")


class _WithNumbers(TorchDispatchMode):  # type: ignore[misc]
    """Gives operators an artifact's numbers in the place of the scalars that they were.

    Args:
        numbers: Finds them.
    """

    def __init__(self, numbers: SingleNumbers) -> None:
        super().__init__()
        self._numbers = numbers

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Runs an operator with other scalars."""
        name = func.overloadpacket.__name__
        named: Mapping[str, Any] = {k: self._held(v) for k, v in (kwargs or {}).items()}
        if "scaled_dot_product" in name and named.get("scale") is None:
            named = {**named, "scale": self._held(1 / math.sqrt(args[0].shape[-1]))}
        whole = name.rstrip("_") in FACTORS
        given = [float(a) if whole and type(a) is int else a for a in args]
        held = [self._held(each) for each in given]
        # An integer stays one where nothing is held of it: it decides a type.
        kept = [a if h is g else h for a, g, h in zip(args, given, held, strict=True)]
        return func(*kept, **named)

    def _held(self, given: Any) -> Any:
        # A traced file has its scalars as tensors without axes, in the type of Python's floats.
        traced = (
            isinstance(given, torch.Tensor) and not given.dim() and given.dtype == torch.float64
        )
        if not (traced or type(given) is float):
            return given
        found = self._numbers.held(float(given))
        if found is None:
            return given
        return torch.tensor(found, dtype=torch.float64) if traced else found


class _WithScales(TorchFunctionMode):  # type: ignore[misc]
    """Says the scale of attention, which torch may otherwise take the root of before it is an operator's.

    Args:
        numbers: Finds what the artifact holds of it.
    """

    def __init__(self, numbers: SingleNumbers) -> None:
        super().__init__()
        self._numbers = numbers

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Runs a function with the scale that an artifact holds."""
        named = dict(kwargs or {})
        if func is torch.nn.functional.scaled_dot_product_attention:
            scale = named.get("scale")
            if scale is None:
                scale = 1 / math.sqrt((args or (named["query"],))[0].shape[-1])
            held = self._numbers.held(scale)
            named["scale"] = scale if held is None else held
        return func(*args, **named)


def _replace(module: Any, replaced: arrays.Arrays) -> str | None:
    """Gives a module other weights; says why it cannot."""
    tensors = dict(named(module))
    missing = sorted(set(replaced) - set(tensors))
    if missing:
        return f"`{missing[0]}` is a constant of the original's graph, and cannot be another"
    with torch.no_grad():
        for name, array in replaced.items():
            tensors[name].copy_(torch.from_numpy(array))
    return None
