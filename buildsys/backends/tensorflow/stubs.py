"""Stands in for what tensorflowjs imports at its top and does not need for a SavedModel."""

from __future__ import annotations

import sys
from types import ModuleType


def put() -> None:
    """Puts empty modules where tensorflowjs looks for decision forests and for JAX."""
    for name, names in (
        ("tensorflow_decision_forests", ()),
        # Of its own package, not `jax` itself: Keras looks whether there is that one.
        ("tensorflowjs.converters.jax_conversion", ("convert_jax",)),
    ):
        stub = ModuleType(name)
        for each in names:
            setattr(stub, each, None)
        sys.modules.setdefault(name, stub)
