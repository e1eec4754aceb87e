"""Gives torch's TorchScript exporter the shapes that a loaded ScriptModule has lost.

A file keeps no shapes of what lies between inputs and outputs, and the exporter cannot convert some
operators (the transposes within attention, for one) without their rank. Handed a Python module it
would trace it and see shapes; here the graph is run on two sets of inputs, and what it gave is written
into it: a size that stayed the same is fixed, another one is left open.

This hooks into a private function, which the toolchain's exact pin of torch makes tenable.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch

TENSOR = torch._C.TensorType.get()
ATTRIBUTE = "prim::GetAttr"


@contextlib.contextmanager
def known(others: Sequence[Sequence[torch.Tensor]]) -> Iterator[None]:
    """Within, the exporter knows the shapes of graphs without control flow.

    Args:
        others: Inputs of other sizes than the example's; the first ones that the model takes are
            used. A graph that takes none of them, or that branches, is exported as it is.
    """
    original = torch._C._propagate_and_assign_input_shapes

    def propagate(graph: Any, values: Sequence[torch.Tensor], *rest: Any) -> Any:
        graph = original(graph, values, *rest)
        torch._C._jit_pass_inline(graph)
        if not any(list(node.blocks()) for node in graph.nodes()):
            _annotate(graph, values, others)
        return graph

    torch._C._propagate_and_assign_input_shapes = propagate
    try:
        yield
    finally:
        torch._C._propagate_and_assign_input_shapes = original


def _annotate(
    graph: Any, values: Sequence[torch.Tensor], others: Sequence[Sequence[torch.Tensor]]
) -> None:
    unknown, function = _revealing(graph)
    try:
        first = _types(function(*values))
        for inputs in others:
            with contextlib.suppress(RuntimeError):
                second = _types(function(*inputs, *values[len(inputs) :]))
                break
        else:
            return
    except RuntimeError:
        return  # The exporter has its say on graphs that do not run.
    for value, one, two in zip(unknown, first, second, strict=True):
        if one is not None and two is not None and one.dim() == two.dim():
            sizes = zip(one.sizes(), two.sizes(), strict=True)
            value.setType(one.with_sizes([a if a == b else None for a, b in sizes]))


def _revealing(graph: Any) -> tuple[list[Any], Any]:
    """The graph's inner tensors, and a function of its inputs that returns them all."""
    copy = graph.copy()
    pairs = [
        pair
        for node, twin in zip(graph.nodes(), copy.nodes(), strict=True)
        if node.kind() != ATTRIBUTE
        for pair in zip(node.outputs(), twin.outputs(), strict=True)
        if pair[0].type().isSubtypeOf(TENSOR)
    ]
    # The weights have become inputs, but are still read from an object that is no longer there.
    inputs = {value.debugName(): value for value in copy.inputs()}
    for node in copy.nodes():
        if node.kind() == ATTRIBUTE and _path(node) in inputs:
            node.output().replaceAllUsesWith(inputs[_path(node)])
    for _ in list(copy.outputs()):
        copy.eraseOutput(0)
    together = copy.create("prim::TupleConstruct", [twin for _, twin in pairs], 1)
    copy.appendNode(together)
    together.output().setType(torch._C.TupleType([twin.type() for _, twin in pairs]))
    copy.registerOutput(together.output())
    torch._C._jit_pass_dce(copy)
    return [value for value, _ in pairs], torch._C._create_function_from_graph("reveal", copy)


def _path(node: Any) -> str:
    """The dotted name of an attribute, through the objects that it is read from."""
    source = node.inputsAt(0).node()
    name: str = node.s("name")
    return f"{_path(source)}.{name}" if source.kind() == ATTRIBUTE else name


def _types(values: Sequence[Any]) -> list[Any]:
    """Types instead of tensors, so that only one run's are held at a time."""
    create = torch._C.TensorType.create_from_tensor
    return [create(v) if isinstance(v, torch.Tensor) else None for v in values]
