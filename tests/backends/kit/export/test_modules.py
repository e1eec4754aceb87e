"""Finding the module of an operator in an exported program."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from buildsys.backends.kit.export.modules import KEY, module_of


def node(target: str, module: str | None = None, op: str = "call_function") -> Any:
    custom = {KEY: module} if module else None
    return SimpleNamespace(op=op, target=target, meta={"custom": custom} if custom else {})


PROGRAM = SimpleNamespace(
    graph=SimpleNamespace(
        nodes=[
            node("x", "nowhere", op="placeholder"),
            node("aten.mul.Tensor"),  # Of the model itself: no path.
            node("aten.special_bessel_j0.default", "stack.1"),
            node("aten.relu.default", "stack.2"),
            node("aten.relu_.default", "stack.3"),
        ]
    )
)


@pytest.mark.parametrize(
    ("operator", "module"),
    [
        ("aten.special_bessel_j0.default", "stack.1"),
        ("aten::special_bessel_j0", "stack.1"),
        ("prims.bessel_j0", "stack.1"),  # What it is decomposed into.
        ("aten.relu", "stack.2"),
        ("aten.relu_", "stack.3"),
        ("aten.mul", None),
        ("aten.conv2d", None),
        ("x", None),
    ],
)
def test_modules_of_operators(operator: str, module: str | None) -> None:
    assert module_of(PROGRAM, operator) == module
