"""An action graph as a networkx graph: what users work with, and what exports are written from.

Only what asks for such a graph imports this module: networkx takes 0.1 s to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import networkx as nx

from buildsys.planner.graph import ActionGraph, OutputRef

if TYPE_CHECKING:
    ActionDiGraph = nx.DiGraph[str]


def digraph(graph: ActionGraph, states: Mapping[str, str]) -> ActionDiGraph:
    """Makes a networkx graph of an action graph.

    Nodes are in the order of the action graph, which is a topological one. Edges run from an action to
    those that take its outputs.

    Args:
        graph: The actions.
        states: The state of each action by its id.

    Returns:
        A graph whose nodes are the ids of actions. A node has `rule`, `toolchain` (`None` for a built-in
        step), `state` and `deployables` (the labels that need it). An edge has `inputs`: the names of
        the inputs that take something of the action above.
    """
    found: ActionDiGraph = nx.DiGraph()
    for name, action in graph.actions.items():
        found.add_node(
            name,
            rule=action.rule,
            toolchain=action.environment,
            state=states[name],
            deployables=list(action.labels),
        )
        taken: dict[str, list[str]] = {}
        for input_name, given in action.inputs.items():
            if isinstance(given, OutputRef):
                taken.setdefault(given.action, []).append(input_name)
        for above, inputs in taken.items():
            found.add_edge(above, name, inputs=inputs)
    return found
