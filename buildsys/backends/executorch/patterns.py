"""Spares XNNPACK's passes and quantizer the making of patterns that a graph cannot match.

Two of its passes look for resizing and for attention that were decomposed. To know what these look like,
they export and lower six small models: 5 s of CPU in each process, most of what a small conversion takes.
Its quantizer exports twelve small models of a convolution and a batch norm, a third of what quantizing takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from executorch.backends.xnnpack._passes import convert_to_sdpa, convert_to_upsample_bilinear2d
from executorch.backends.xnnpack.partition.graphs import bilinear_2d, sdpa
from executorch.backends.xnnpack.quantizer import xnnpack_quantizer_utils as quantizer_utils

RESIZING = ("upsample",)
"""An operator of every pattern of a resizing, by a part of its name."""
ATTENTION = ("softmax",)
"""The same, of attention."""
NORM = ("batch_norm",)
"""The same, of a convolution with its norm; where these were fused there is none left."""
Call = Callable[[Any, Any], Any]


def holds(graph_module: Any, parts: tuple[str, ...]) -> bool:
    """Whether any operator of a graph has one of these parts in its name."""
    names = (str(node.target) for node in graph_module.graph.nodes if node.op == "call_function")
    return any(part in name for name in names for part in parts)


@contextmanager
def where_possible() -> Iterator[None]:
    """While it lasts, these passes get patterns for those graphs only that may match one.

    What they do besides they do for every graph, so the bytes stay the same.
    """
    passes: tuple[tuple[Any, Any, str, tuple[str, ...]], ...] = (
        (
            convert_to_upsample_bilinear2d.ConvertToUpsampleBilinear2d,
            bilinear_2d,
            "get_graphs_dict",
            RESIZING,
        ),
        (convert_to_sdpa.ConvertToSDPAPass, sdpa, "get_graphs", ATTENTION),
    )
    kept = [(each, each.call) for each, *_ in passes]
    try:
        for each, module, name, parts in passes:
            each.call = _spared(each.call, module, name, parts)
        yield
    finally:
        for each, call in kept:
            each.call = call


def _spared(original: Call, module: Any, name: str, parts: tuple[str, ...]) -> Call:
    def call(self: Any, graph_module: Any) -> Any:
        if holds(graph_module, parts):
            return original(self, graph_module)
        make = getattr(module, name)
        setattr(module, name, dict)  # Empty, as a list of patterns too.
        try:
            return original(self, graph_module)
        finally:
            setattr(module, name, make)

    return call


@contextmanager
def norms_where_possible() -> Iterator[None]:
    """While it lasts, the quantizer looks for convolutions with a norm only where there are norms."""
    original = quantizer_utils._do_annotate_conv_bn

    def annotate(graph_module: Any, *given: Any, **named: Any) -> Any:
        if holds(graph_module, NORM):
            return original(graph_module, *given, **named)
        graph_module.graph.eliminate_dead_code()  # As the original does it before it looks.
        graph_module.recompile()
        return []

    quantizer_utils._do_annotate_conv_bn = annotate
    try:
        yield
    finally:
        quantizer_utils._do_annotate_conv_bn = original
