"""Operators that coremltools 9 converts wrongly or does not know; imported before it converts."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..libraries import ct

_FRONTEND = "coremltools.converters.mil.frontend.torch"
_REGISTRY = import_module(f"{_FRONTEND}.torch_op_registry")._TORCH_OPS_REGISTRY
_inputs = import_module(f"{_FRONTEND}.ops")._get_inputs
_named_inputs = import_module(f"{_FRONTEND}.ops")._get_kwinputs
mb = ct.converters.mil.Builder
types = ct.converters.mil.mil.types


def reciprocal(context: Any, node: Any) -> None:
    """A division: Core ML's `inverse` adds 1e-4 to what it divides by, and every `1 / x` in Python is one."""
    (x,) = _inputs(context, node, expected=1)
    integer = types.is_int(x.dtype)
    divisor = mb.cast(x=x, dtype="fp32") if integer else x
    context.add(mb.real_div(x=1.0, y=divisor, name=node.name))


def attention(context: Any, node: Any) -> None:
    """Attention that gives zeros where a mask of truths lets nothing pass, as PyTorch's does.

    coremltools adds a number to the scores of what is masked: where that is all, the softmax does not see it.
    From iOS 18 on the mask goes into one operation, and what that gives there is documented nowhere.
    """
    _attention(context, node)
    inputs = _inputs(context, node, min_expected=3)
    mask = inputs[3] if len(inputs) > 3 else None
    mask = _named_inputs(context, node, "attn_mask", default=[mask])[0]
    if mask is None or not types.is_bool(mask.dtype):
        return
    if mask.val is not None and mask.val.any(axis=-1).all():
        return
    given = context[node.name]
    passes = mb.reduce_max(x=mb.cast(x=mask, dtype="int32"), axes=[-1], keep_dims=True)
    zero = types.nptype_from_builtin(given.dtype)(0)
    cond = mb.cast(x=passes, dtype="bool")
    made = mb.select(cond=cond, a=given, b=zero, name=f"{node.name}_of_what_passes")
    context.add(made, torch_name=node.name, override=True)


_REGISTRY.set_func_by_name(reciprocal, "reciprocal")
_attention = _REGISTRY.get_func("scaled_dot_product_attention")
_REGISTRY.set_func_by_name(attention, "scaled_dot_product_attention")
# A slice that leaves nothing out is exported as `alias`, which computes nothing.
_REGISTRY.set_func_by_name(_REGISTRY.get_func("detach"), "alias")
# The name of `lstm` in exported programs.
_REGISTRY.set_func_by_name(_REGISTRY.get_func("lstm"), "lstm.input")
