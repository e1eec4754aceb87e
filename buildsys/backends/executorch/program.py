"""Lowers an exported program, and says what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from executorch.exir import to_edge_transform_and_lower

from ..kit.protocol.request import StepError
from . import patterns, sizes
from .norms import spelled_out
from .sizes import Ports

POOLS = {
    torch.ops.aten.max_pool1d.default,
    torch.ops.aten.max_pool2d.default,
    torch.ops.aten.max_pool3d.default,
    torch.ops.aten.avg_pool1d.default,
    torch.ops.aten.avg_pool2d.default,
    torch.ops.aten.avg_pool3d.default,
}
ATTENTION = torch.ops.aten.scaled_dot_product_attention.default
NO_WORK = ("executorch_prim::", "aten::sym_")
"""Kernels that compute sizes and rename memory."""


@dataclass(frozen=True)
class Lowered:
    """A program in ExecuTorch's form.

    Attributes:
        data: The file.
        planned: Bytes that the runtime claims for activations.
        operators: `namespace::name.overload` of every kernel that the file calls.
        rest: How often each of them is called that does work, by its name for people.
        delegated: Number of parts that delegates run.
    """

    data: bytes
    planned: int
    operators: frozenset[str]
    rest: Counter[str]
    delegated: int


def load(path: Path) -> Any:
    """The exported program, with each pool's stride written out, and norms spelled out (see `norms`).

    Without it a pool strides by its size, which neither XNNPACK's partitioner nor coremltools knows.
    """
    with path.open("rb") as stream:  # torch wants the suffix `.pt2` on paths.
        program = spelled_out(torch.export.load(stream))
    for node in program.graph.nodes:
        if node.target in POOLS and (len(node.args) < 3 or not node.args[2]):
            node.args = (*node.args[:2], node.args[1], *node.args[3:])
    _settle_attention(program)
    program.graph_module.recompile()
    return program


def _settle_attention(program: Any) -> None:
    """Gives what attention gives one order in memory, before and after it is decomposed.

    Captured, it has that of a fused kernel; views of it were right with that one only.
    """
    graph = program.graph_module.graph
    found = [node for node in graph.nodes if node.target is ATTENTION]
    for node in found:
        users = list(node.users)
        with graph.inserting_after(node):
            plain = graph.call_function(
                torch.ops.aten.clone.default, (node,), {"memory_format": torch.contiguous_format}
            )
        plain.meta = dict(node.meta)
        for user in users:
            user.replace_input_with(node, plain)
        program.graph_signature.replace_all_uses(node.name, plain.name)
    for node in graph.nodes if found else ():
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default


def lower(source: Callable[[], Any], delegate: Any, ports: Ports) -> Lowered:
    """Lowers a program as often as its delegate finds something more to leave out.

    Args:
        source: Gives a fresh copy of the program at each call.
        delegate: What runs parts of it.
        ports: The request's.

    Raises:
        StepError: ExecuTorch fixes a size that should vary.
        Exception: Whatever ExecuTorch raises that the delegate knows no remedy for.
    """
    while True:
        try:
            # The last try has changed its program.
            return _lower(source(), delegate, ports)
        except StepError:
            raise
        except Exception as error:
            if not delegate.gives_way(error):
                raise


def _lower(program: Any, delegate: Any, ports: Ports) -> Lowered:
    with torch.no_grad(), sizes.kept(), patterns.where_possible():
        edge = to_edge_transform_and_lower(program, partitioner=delegate.partitioners())
        manager = edge.to_executorch()
    plan = manager.executorch_program.execution_plan[0]
    sizes.check(plan, ports)
    names = [f"{op.name}.{op.overload}" if op.overload else op.name for op in plan.operators]
    calls = Counter[str]()
    for chain in plan.chains:
        for instruction in chain.instructions:
            call = instruction.instr_args
            if type(call).__name__ == "KernelCall":
                name = plan.operators[call.op_index].name
                if not name.startswith(NO_WORK):
                    calls[_short(name)] += 1
    return Lowered(
        data=bytes(manager.buffer),
        planned=sum(plan.non_const_buffer_sizes),
        operators=frozenset(names),
        rest=calls,
        delegated=len(plan.delegates),
    )


def _short(name: str) -> str:
    return name.rpartition("::")[2].removesuffix("_copy")


def run(model: Any, given: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What the exported program itself gives, flat and in order."""
    with torch.no_grad():
        found = model(*given)
    return [t for t in torch.utils._pytree.tree_leaves(found) if isinstance(t, torch.Tensor)]
