"""Which module of the model an operator of an exported program stands in.

What a program's nodes carry of where they came from is dropped when it is written (source lines and
paths of the machine), but for the dotted path of their module, under `custom`.
"""

from __future__ import annotations

from typing import Any

KEY = "module"
RENAMED = "__fx_part"
"""Ends the first part of a weight's name where torch.fx keeps that name: `meta__fx_part.weight`."""


def renamed(name: str) -> str:
    """A weight's name that torch.fx leaves alone."""
    head, dot, rest = name.partition(".")
    return f"{head}{RENAMED}{dot}{rest}"


def original(name: str) -> str:
    """A weight's name in the model, of its name in an exported program."""
    head, dot, rest = name.partition(".")
    return f"{head.removesuffix(RENAMED)}{dot}{rest}"


def modules(program: Any) -> dict[str, str]:
    """The module's path by the name of each operator's node, of those that have one."""
    found = ((n.name, (n.meta.get("custom") or {}).get(KEY)) for n in program.graph.nodes)
    return {name: str(path) for name, path in found if path}


def module_of(program: Any, operator: str) -> str | None:
    """The path of the first module that uses an operator, such as `encoder.layers.0`.

    Args:
        program: An ExportedProgram, or anything whose `graph.nodes` are its nodes.
        operator: For example `aten.special_bessel_j0.default`; the overload may be missing. Where
            no node has it, it may be what one was decomposed into: `prims.bessel_j0`.
    """
    wanted = operator.replace("::", ".")
    base = wanted.split(".")[1] if wanted.count(".") else wanted
    loosely = None
    for node in program.graph.nodes:
        path = (node.meta.get("custom") or {}).get(KEY)
        name = str(node.target).replace("::", ".")
        if node.op != "call_function" or not path:
            continue
        if name == wanted or name.startswith(wanted + "."):
            return str(path)
        if loosely is None and name.count(".") and name.split(".")[1].endswith(base):
            loosely = str(path)
    return loosely
