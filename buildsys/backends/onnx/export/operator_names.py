"""Names of operators after the modules that they come from: `/features/1/conv/Conv`.

They are what `keep_float`, reports of layers and errors call an operator, and what the older exporter gives.
The newer one numbers its operators, and notes the modules in metadata, which are not shipped.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ...kit.export import modules

SCOPES = "pkg.torch.onnx.name_scopes"
"""A list as Python writes it: each module from the whole model on, and the operator in PyTorch."""
PREFIX = "node_"
"""What the exporter puts before the name of a program's node."""
NORM = "_native_batch_norm"
"""Begins the operator of a batch norm. Where that was folded, the layer before it has its scopes."""


def tell(program: Any) -> dict[str, str]:
    """Gives the nodes of an exported program the modules that were noted when it was captured.

    Returns:
        The same, by the names of nodes: metadata is lost on the way to operator sets below 18.
    """
    told = {}
    for node in program.graph.nodes:
        path = (node.meta.get("custom") or {}).get(modules.KEY)
        if path:
            parts = str(path).split(".")
            paths = ["", *(".".join(parts[: n + 1]) for n in range(len(parts)))]
            node.meta["nn_module_stack"] = {each: (each, "torch.nn.Module") for each in paths}
            told[node.name] = str(path)
    return told


def write(model: Any, told: Mapping[str, str]) -> None:
    """Names the operators of the main graph.

    Args:
        model: As the exporter gives it.
        told: What `tell` gave.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    seen: Counter[str] = Counter()
    for node in model.graph.node:
        path = _path(node, weights, told).replace(".", "/")
        name = f"/{path}/{node.op_type}" if path else f"/{node.op_type}"
        node.name = f"{name}_{seen[name]}" if seen[name] else name
        seen[name] += 1


def _path(node: Any, weights: set[str], told: Mapping[str, str]) -> str:
    noted = next((each.value for each in node.metadata_props if each.key == SCOPES), None)
    if noted is None:
        operator = node.name.removeprefix(PREFIX)
        # What the exporter made of several has a name of its own.
        scopes, folded = [told.get(operator, "")], operator not in told
    else:
        *scopes, operator = ast.literal_eval(noted) or [""]
        folded = operator.startswith(NORM)
    if folded and node.op_type != "BatchNormalization":
        own = next((name for name in node.input if name in weights), "")
        return own.rpartition(".")[0]
    return str(scopes[-1]) if scopes else ""
