"""The operators of an exported program that integers can stand for, as recipes name them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from ..kit.export.modules import modules
from ..kit.quantize.masks import Magnitudes
from ..kit.quantize.mixing import Layer

LINEAR = "linear"
KINDS = (
    *(LINEAR, "conv1d", "conv2d", "convolution", "conv_transpose1d", "conv_transpose2d"),
    *("adaptive_avg_pool2d", "add", "mul", "cat"),
)
"""The operators that XNNPACK's quantizer knows."""


def layers(program: Any) -> dict[str, Layer]:
    """Node of an operator to what it answers to: its module's path, and its own name."""
    paths = modules(program)
    found = {}
    for node in program.graph.nodes:
        kind = _kind(node)
        if kind in KINDS:
            path = paths.get(node.name)
            found[node.name] = Layer((path, node.name) if path else (node.name,), kind)
    return found


def _kind(node: Any) -> str:
    """`conv2d` of `aten.conv2d.default`."""
    if node.op != "call_function":
        return ""
    return str(node.target).partition(".")[2].partition(".")[0]


class _Watcher(torch.fx.Interpreter):  # type: ignore[misc]
    """Runs a graph, and keeps which magnitudes the numbers of its nodes have."""

    def __init__(self, module: torch.fx.GraphModule, names: Collection[str]) -> None:
        super().__init__(module)
        self._names = names
        self.seen: dict[str, Magnitudes] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        found = super().run_node(n)
        if n.name in self._names and isinstance(found, torch.Tensor) and found.is_floating_point():
            self.seen.setdefault(n.name, Magnitudes()).add(found.numpy())
        return found


def masked(
    module: torch.fx.GraphModule,
    feeds: Sequence[Sequence[torch.Tensor]],
    found: Mapping[str, Layer],
) -> list[str]:
    """The operators that read or give numbers that no range can hold; see `kit.quantize.masks`."""
    touched = {
        node.name: [node.name, *(each.name for each in node.all_input_nodes)]
        for node in module.graph.nodes
        if node.name in found
    }
    watcher = _Watcher(module, {name for names in touched.values() for name in names})
    with torch.no_grad():
        for feed in feeds:
            watcher.run(*feed)
    held = {name for name, seen in watcher.seen.items() if seen.masked}
    return [name for name, names in touched.items() if not held.isdisjoint(names)]
