"""Whether a file became what was asked for, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from ..signature import Signature
from .census import Census

FIELD = "quantization"
_HINT = "leave the quantization out for this model"


def audit(request: Request, kinds: list[str], before: Census, after: Census) -> None:
    """Says which part of the weights became small.

    Args:
        request: Its notes are written to.
        kinds: The types that weights were to become; the first is the one that was asked for.
        before: What the float file holds.
        after: What the quantized file holds.

    Raises:
        StepError: Nothing did.
    """
    if before.tensors == after.tensors and before.operators == after.operators:
        raise StepError(
            "nothing was quantized: the file has the same operators and types of tensors as before",
            hint=_HINT,
            field=FIELD,
        )
    told = " or ".join(kind.lower() for kind in kinds)
    share = after.share(*kinds)
    if not share:
        raise StepError(
            f"nothing was quantized: no weight became {told}"
            + (f" ({'; '.join(request.notes)})" if request.notes else ""),
            hint=_HINT,
            field=FIELD,
        )
    if share < 1.0:
        request.note(
            f"{int(share * 100)}% of the constant numbers are {told}: "
            + ", ".join(f"{n:,} {t.lower()}" for t, n in sorted(after.weights.items()))
        )


def told_size(request: Request, before: int, after: int) -> None:
    """Says so where a file did not become smaller, which is what it was quantized for.

    Each tensor of integers has a scale and a zero point: of an unrolled loop, those outweigh the weights.
    """
    if after >= before:
        request.note(
            f"the file did not become smaller: {after:,} bytes, {before:,} in float; the scales of its "
            "tensors outweigh its weights"
        )


def kind_of(settings: Mapping[str, Any]) -> str:
    """The type that a profile makes of weights."""
    return "FLOAT16" if settings["scheme"] == "float16" else f"INT{settings['bits']}"


def check_types(contract: Contract, signature: Signature) -> None:
    """Whether inputs and outputs are what the contract says.

    Raises:
        StepError: One became another type, or another name.
    """
    for ports, tensors in (
        (contract.inputs, signature.inputs),
        (contract.outputs, signature.outputs),
    ):
        for port in ports:
            tensor = tensors.get(port.artifact_name or port.name)
            if tensor is None or tensor.dtype != port.dtype:
                raise StepError(
                    f"the quantizer changed `{port.name}`: {port.dtype} became "
                    f"{tensor.dtype if tensor else 'another name'}"
                )
