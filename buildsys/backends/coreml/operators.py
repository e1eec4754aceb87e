"""Operators that coremltools 9 converts wrongly or does not know; imported before it converts."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .quiet import ct

_FRONTEND = "coremltools.converters.mil.frontend.torch"
_REGISTRY = import_module(f"{_FRONTEND}.torch_op_registry")._TORCH_OPS_REGISTRY
_inputs = import_module(f"{_FRONTEND}.ops")._get_inputs
mb = ct.converters.mil.Builder


def reciprocal(context: Any, node: Any) -> None:
    """A division: Core ML's `inverse` adds 1e-4 to what it divides by, and every `1 / x` in Python is one."""
    (x,) = _inputs(context, node, expected=1)
    integer = ct.converters.mil.mil.types.is_int(x.dtype)
    divisor = mb.cast(x=x, dtype="fp32") if integer else x
    context.add(mb.real_div(x=1.0, y=divisor, name=node.name))


_REGISTRY.set_func_by_name(reciprocal, "reciprocal")
# A slice that leaves nothing out is exported as `alias`, which computes nothing.
_REGISTRY.set_func_by_name(_REGISTRY.get_func("detach"), "alias")
# The name of `lstm` in exported programs.
_REGISTRY.set_func_by_name(_REGISTRY.get_func("lstm"), "lstm.input")
