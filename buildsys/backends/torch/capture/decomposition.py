"""Captures a model again with the operators decomposed that some converter lacks.

A graph that has none of them is captured once, and its bytes are what they were. The decompositions stand in
for functions of PyTorch's while the model runs, so that tracing and exporting see the same ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch._decomp import decomposition_table
from torch.overrides import TorchFunctionMode

from ...kit.protocol.request import Request
from .decompositions import IN_PROGRAMS, OPERATORS, OWN, TABLE

_FUNCTIONS = {OPERATORS.get(name, name): name for name in (*TABLE, *sorted(OWN, reverse=True))}

SELDOM = ("one_hot", "repeat_interleave")
"""Operators that converters have, and fail at where their arguments come from some others."""


def lacking(captured: Any) -> list[str]:
    """The operators of a captured graph that some converter lacks, and that can be decomposed."""
    found = set(operators(captured))
    # A graph that was exported has the inner operator of these.
    found |= {name.removeprefix("_").removesuffix("_forward_only") for name in found}
    return sorted(found & set(_FUNCTIONS))


class Decomposed(TorchFunctionMode):  # type: ignore[misc]  # On the host there is no torch to check by.
    """While it is entered, functions of PyTorch's run by their decompositions.

    Args:
        operators: Which; see `lacking`.
    """

    def __init__(self, operators: Collection[str]) -> None:
        super().__init__()
        self._wanted = wanted = set(operators)
        self._own = {n: f for n, f in OWN.items() if OPERATORS.get(n, n) in wanted}
        self._table = TABLE & wanted

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Runs one function."""
        named = kwargs or {}
        name = getattr(func, "__name__", "")
        found = None
        if isinstance(func, torch._ops.OpOverload):
            if func.overloadpacket.__name__ in self._wanted:
                found = _in_program(func, args, named)
        elif name in self._own:
            found = self._own[name](*args, **named)
        elif name in self._table:
            found = _by_table(name, args, named)
        return func(*args, **named) if found is None else found


def listed(names: Sequence[str]) -> str:
    """Names of operators in a sentence, each once."""
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def note_kept(module: Any, what: str, request: Request) -> None:
    """Says which operators of TorchScript that nothing decomposes may be refused by converters."""
    if kept := [name for name in lacking(module) if name not in SELDOM]:
        request.note(
            f"{listed(kept)}, which some converters lack, stays: {what} is taken as it is. `capture: trace` "
            "or `capture: export` of the model itself decomposes it"
        )


def _in_program(operator: Any, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """What the decomposition of a finished program's operator gives; `None` where it takes something else."""
    # Where a tensor lies, and how, decides nothing.
    given = {name: each for name, each in named.items() if name not in ("layout", "pin_memory")}
    name = operator.overloadpacket.__name__
    own = IN_PROGRAMS.get(name) or OWN.get(name)
    if own is not None:
        return own(*args, **given)
    listed = decomposition_table.get(operator)
    if listed is not None:
        return listed(*args, **given)
    composed = operator.decompose(*args, **named)
    return None if composed is NotImplemented else composed


def _by_table(name: str, args: Sequence[Any], named: dict[str, Any]) -> Any:
    """What PyTorch's decomposition gives; `None` where it has none for these arguments."""
    try:
        overload = torch._C._jit_resolve_packet(f"aten::{name}", *args, **named)
    except RuntimeError:
        return None  # A form that only the Python function takes.
    operator = getattr(getattr(torch.ops.aten, name), overload or "default")
    listed = decomposition_table.get(operator)
    if listed is not None:
        return listed(*args, **named)
    composed = operator.decompose(*args, **named)
    return None if composed is NotImplemented else composed


def operators(captured: Any) -> Iterator[str]:
    """The names of the operators of a captured graph."""
    if isinstance(captured, torch.export.ExportedProgram):
        for part in captured.graph_module.modules():
            for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
                if isinstance(node.target, torch._ops.OpOverload):
                    yield node.target.overloadpacket.__name__
        return
    graph = captured.inlined_graph  # Its nodes do not outlive it.
    pending = [graph]
    while pending:
        for node in pending.pop().nodes():
            yield node.kind().rpartition("::")[2]
            pending += node.blocks()
