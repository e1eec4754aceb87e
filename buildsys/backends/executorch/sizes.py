"""Keeps dynamic sizes dynamic through ExecuTorch's compiler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.fx.experimental.symbolic_shapes import ShapeEnv

from ..kit.protocol.ports import symbols
from ..kit.protocol.request import StepError

Ports = list[dict[str, Any]]
"""The request's."""


@contextmanager
def kept() -> Iterator[None]:
    """Lets the compiler look at sizes without deciding on them.

    It looks often, and each look would narrow a size, silently: its check of dtypes asks a list of
    tensors (`split`, `chunk`) for its first one's length, which fixes a batch at the captured size; a
    convolution asks whether a batch is below 16, which lets no larger one in. That the program
    is right at other sizes is seen by running it.
    """
    with ShapeEnv().suppress_guards():  # Those of this thread, whatever the environment.
        yield


def check(plan: Any, ports: Ports) -> None:
    """Compares the sizes that a lowered program takes with the ports' largest.

    Raises:
        StepError: A size is limited or fixed.
    """
    varying = symbols(ports)
    for port, index in zip(ports, plan.inputs, strict=True):
        for size, found in zip(port["shape"], plan.values[index].val.sizes, strict=True):
            if size in varying and found != varying[size]["max"]:
                raise StepError(
                    f"ExecuTorch takes `{port['name']}` with `{size}` up to {found} only, "
                    f"not {varying[size]['max']}",
                    f"write a number in place of `{size}` in the shape, "
                    "or take `format: onnx`, which keeps it",
                    "inputs",
                )
