"""Names of parts that torch.fx keeps for itself: renamed in an exported program, and told apart again.

A program is run, and converted, as a `GraphModule` that holds the model's parts under their own names.
It has attributes of its own, such as `meta`, `graph` and `code`, and a part of such a name is lost behind
them. Only the first part of a name can collide, since all below it lies in plain modules.
"""

from __future__ import annotations

from typing import Any

import torch

from ...kit.export import modules
from ...kit.protocol.request import Request

ADDED = frozenset(
    ("_guards_fn", "_in_spec", "_out_spec", "range_constraints", "shape_env", "validate_inputs")
)
"""What `ExportedProgram.module()` adds to a `GraphModule`."""


def names() -> frozenset[str]:
    """The names that no part at the top of a model may have in an exported program."""
    graph_module = torch.fx.GraphModule(torch.nn.Module(), torch.fx.Graph())
    return (frozenset(dir(graph_module)) | ADDED) - frozenset(dir(torch.nn.Module()))


def rename(program: torch.export.ExportedProgram, request: Request) -> None:
    """Renames parts of a program whose names torch.fx keeps for itself, with a note."""
    taken = names()
    holders: tuple[dict[str, Any], ...] = (program.state_dict, program.constants)
    changed = {
        name: modules.renamed(name)
        for held in holders
        for name in held
        if name.partition(".")[0] in taken
    }
    if not changed:
        return
    for held in holders:
        for name in list(held):  # All again, so that the order stays.
            held[changed.get(name, name)] = held.pop(name)
    signature = program.graph_signature
    for given in signature.input_specs:
        given.target = changed.get(given.target, given.target)
    for made in signature.output_specs:
        made.target = changed.get(made.target, made.target)
    pairs = {name.partition(".")[0]: new.partition(".")[0] for name, new in changed.items()}
    shown = ", ".join(f"`{name}` as `{new}`" for name, new in sorted(pairs.items()))
    request.note(f"the exported program holds {shown}: torch.fx keeps these names for itself")
