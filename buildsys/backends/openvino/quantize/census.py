"""Counts what a model is made of, to see whether anything was quantized."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

WEIGHTS = frozenset({"f64", "f32", "f16", "bf16", "i8", "u8", "i4", "u4"})
NAMES = {
    "f32": "float32",
    "f16": "float16",
    "f64": "float64",
    "i8": "int8",
    "u8": "uint8",
    "i4": "int4",
    "u4": "uint4",
}


@dataclass
class Census:
    """What a model holds.

    Attributes:
        operations: (operation, type of its first output) to how many.
        weights: Type to number of elements of constants of it; shapes and indices left out.
    """

    operations: Counter[tuple[str, str]] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)

    def share(self, *types: str) -> float:
        """Part of the weights that is of these types, from 0 to 1."""
        total = sum(self.weights.values())
        return sum(self.weights[kind] for kind in types) / total if total else 0.0

    def told(self) -> str:
        """Numbers of weights by type, in words."""
        return ", ".join(f"{n:,} {NAMES.get(t, t)}" for t, n in sorted(self.weights.items()))


def census(model: Any) -> Census:
    """Counts; nothing is compiled."""
    found = Census()
    for operation in model.get_ordered_ops():
        outputs = operation.outputs()
        kind = outputs[0].get_element_type().get_type_name() if outputs else ""
        found.operations[operation.get_type_name(), kind] += 1
        if operation.get_type_name() == "Constant" and kind in WEIGHTS:
            found.weights[kind] += math.prod(outputs[0].get_shape())
    return found
