"""Rewrites a program where litert-torch makes of an operator what it, or LiteRT, cannot take."""

from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten
IDENTITIES = (aten.eye.default, aten.eye.m)
ATTENTION = aten.scaled_dot_product_attention.default
TRANSPOSED = (aten.conv_transpose1d.default, aten.conv_transpose2d.input)


def rewrite(program: torch.fx.GraphModule) -> None:
    """Changes the graph in place; what it computes stays the same.

    - An identity matrix becomes a constant: it would become `STABLEHLO_IOTA`, which LiteRT has not.
    - A transposed convolution with output padding becomes a larger one, of which a part is taken:
      its borders are asymmetric, and no converter pass takes that.
    - Attention gives zeros where a mask lets nothing pass: it would become a softmax over minus
      infinity alone, which is NaN.
    """
    for node in list(program.graph.nodes):
        if node.target in IDENTITIES:
            _fold(program, node)
        elif node.target in TRANSPOSED:
            _widen(program, node)
        elif node.target is ATTENTION:
            _unmask(program, node)
    program.recompile()


def _fold(program: torch.fx.GraphModule, node: torch.fx.Node) -> None:
    name = f"constant_{node.name}"
    program.register_buffer(name, node.target(*node.args, **node.kwargs))
    with program.graph.inserting_before(node):
        constant = program.graph.get_attr(name)
    constant.meta = node.meta
    node.replace_all_uses_with(constant)
    program.graph.erase_node(node)


def _widen(program: torch.fx.GraphModule, node: torch.fx.Node) -> None:
    """Without padding an output is longer by `padding` before and `padding - output_padding` after."""
    spatial = 1 if node.target is TRANSPOSED[0] else 2
    source, weight, bias, stride, padding, extra, *rest = _filled(node, spatial)
    if not any(extra) or any(more > less for more, less in zip(extra, padding, strict=True)):
        return
    none = [0] * spatial
    sizes = node.meta["val"].shape[-spatial:]
    node.args = (source, weight, bias, stride, none, none, *rest)
    node.kwargs = {}
    last: Any = node
    users = list(node.users)
    for axis, (start, size) in enumerate(zip(padding, sizes, strict=True), start=2):
        with program.graph.inserting_after(last):
            last = program.graph.call_function(
                aten.slice.Tensor, (last, axis, start, start + int(size))
            )
    for user in users:
        user.replace_input_with(node, last)


def _unmask(program: torch.fx.GraphModule, node: torch.fx.Node) -> None:
    """Writes zeros where no position is attended to, as PyTorch does."""
    mask = node.args[3] if len(node.args) > 3 else node.kwargs.get("attn_mask")
    if not isinstance(mask, torch.fx.Node) or mask.meta["val"].dtype != torch.bool:
        return
    users = list(node.users)
    with program.graph.inserting_after(node):
        some = program.graph.call_function(aten.any.dim, (mask, -1, True))
    with program.graph.inserting_after(some):
        none = program.graph.call_function(aten.zeros_like.default, (node,))
    with program.graph.inserting_after(none):
        kept = program.graph.call_function(aten.where.self, (some, node, none))
    for user in users:
        user.replace_input_with(node, kept)


def _filled(node: torch.fx.Node, spatial: int) -> list[Any]:
    """All arguments, those left out as they are by default, lists with a number an axis."""
    names = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
    defaults = (None, None, None, 1, 0, 0, 1, 1)
    given = dict(zip(names, defaults, strict=True)) | dict(zip(names, node.args, strict=False))
    given |= node.kwargs
    for name in ("stride", "padding", "output_padding", "dilation"):
        value = given[name] if isinstance(given[name], list | tuple) else [given[name]]
        given[name] = list(value) * (spatial // len(value))
    return [given[name] for name in names]
