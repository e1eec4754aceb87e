"""The action graph as text: for Graphviz (`dot`), Mermaid, GraphML, or as node-link JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import networkx as nx

from buildsys.terminal import escaped, json_text

if TYPE_CHECKING:
    from buildsys.planner.digraph import ActionDiGraph

_SPECIAL_IN_MERMAID = re.compile(r"[^\w ./:~,-]")
_NOT_IN_XML = re.compile("[\ufffe\uffff]")


def graph_text(graph: ActionDiGraph, form: str) -> str:
    """Writes a graph of `planner.digraph` in one of the forms of `plan --graph`."""
    return {"dot": _dot, "mermaid": _mermaid, "graphml": _graphml, "json": _json}[form](graph)


def _dot(graph: ActionDiGraph) -> str:
    lines = ["digraph modelbuild {", '  rankdir=LR; node [shape=box, fontname="sans-serif"];']
    numbers = _numbers(graph)
    for name, node in graph.nodes(data=True):
        label = f"{_in_dot(name)}\\n{_in_dot(node['state'])}"
        told = "".join(f', {key}="{_in_dot(text)}"' for key, text in _texts(node).items())
        lines.append(f'  {numbers[name]} [label="{label}"{told}];')
    for above, name, edge in graph.edges(data=True):
        label = _in_dot(", ".join(edge["inputs"]))
        lines.append(f'  {numbers[above]} -> {numbers[name]} [label="{label}"];')
    return "\n".join([*lines, "}"])


def _mermaid(graph: ActionDiGraph) -> str:
    lines = ["flowchart LR"]
    numbers = _numbers(graph)
    for name, node in graph.nodes(data=True):
        below = ", ".join(filter(None, (node["state"], node["toolchain"])))
        lines.append(f'  {numbers[name]}["{_in_mermaid(name)}<br/>{_in_mermaid(below)}"]')
    for above, name, edge in graph.edges(data=True):
        label = _in_mermaid(", ".join(edge["inputs"]))
        lines.append(f'  {numbers[above]} -->|"{label}"| {numbers[name]}')
    return "\n".join(lines)


def _graphml(graph: ActionDiGraph) -> str:
    """GraphML knows no lists and no `None`: lists are joined by commas, and `None` is left out."""
    plain: ActionDiGraph = nx.DiGraph()
    for name, node in graph.nodes(data=True):
        plain.add_node(_in_xml(name), **{k: _in_xml(v) for k, v in _texts(node).items()})
    for above, name, edge in graph.edges(data=True):
        plain.add_edge(_in_xml(above), _in_xml(name), inputs=_in_xml(", ".join(edge["inputs"])))
    return "\n".join(nx.generate_graphml(plain))


def _json(graph: ActionDiGraph) -> str:
    return json_text(nx.node_link_data(graph, edges="edges"), indent=1)


def _numbers(graph: ActionDiGraph) -> dict[str, str]:
    """Short names of nodes: an action's id may hold anything."""
    return {name: f"a{number}" for number, name in enumerate(graph)}


def _texts(node: dict[str, object]) -> dict[str, str]:
    """The attributes of a node as texts; without those that are `None`."""
    return {
        key: ", ".join(value) if isinstance(value, list) else str(value)
        for key, value in node.items()
        if value is not None
    }


def _in_dot(text: str) -> str:
    """Text within the quotes of a DOT string, where a backslash begins an escape."""
    text = escaped(text).replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n")


def _in_mermaid(text: str) -> str:
    """Text within the quotes of a Mermaid label, where `#` and `;` enclose a character's number."""
    return _SPECIAL_IN_MERMAID.sub(lambda found: f"#{ord(found[0])};", escaped(text))


def _in_xml(text: str) -> str:
    """Text that XML can hold."""
    return _NOT_IN_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped(text))
