"""What `plan --graph` prints can be read back, whatever names hold."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import networkx as nx
import pytest

from buildsys.planner.digraph import digraph
from buildsys.planner.graph import Action, ActionGraph, FileInput, OutputRef
from buildsys.report.graph_export import graph_text
from buildsys.terminal import UNSAFE, escaped

if TYPE_CHECKING:
    from buildsys.planner.digraph import ActionDiGraph

HOSTILE = (
    'm"]; b -> c; "',
    "back\\",
    'back\\"]',
    "two\nlines\\n",
    '"/><node id="x"/>&amp;<![CDATA[',
    "`md`]-->|x| evil#quot;#35;",
    "end\nsubgraph x; click a0 callback",
    "\x1b[2J\u202egnp.\x00\uffff\ud800",
    "naïve/模型.onnx",
    "\\N \\G {a|b} <b>",
)
DOT_STRING = r'"((?:[^"\\]|\\.)*)"'
DOT_ATTRIBUTE = rf"[a-z]+={DOT_STRING}"
DOT_NODE = re.compile(rf"  (a\d+) \[({DOT_ATTRIBUTE}(?:, {DOT_ATTRIBUTE})*)\];")
DOT_EDGE = re.compile(rf"  (a\d+) -> (a\d+) \[label={DOT_STRING}\];")
MERMAID_TEXT = r'"((?:[\w ./:~,\-]|#\d+;|<br/>)*)"'
MERMAID_NODE = re.compile(rf"  (a\d+)\[{MERMAID_TEXT}\]")
MERMAID_EDGE = re.compile(rf"  (a\d+) -->\|{MERMAID_TEXT}\| (a\d+)")


def action(name: str, inputs: dict[str, Any], environment: str | None) -> Action:
    found: Any = {"worker": None, "options": {}, "outputs": (), "rule": name, "labels": [name, "b"]}
    return Action(id=name, environment=environment, inputs=inputs, **found)


@pytest.fixture
def graph() -> ActionDiGraph:
    """A chain of actions with such ids, rules, toolchains, labels and input names."""
    actions: dict[str, Action] = {}
    inputs: dict[str, Any] = {"file": FileInput(None)}  # type: ignore[arg-type]
    for name in HOSTILE:
        actions[name] = action(name, inputs, None if name == HOSTILE[1] else name)
        inputs = {name: OutputRef(name, "artifact"), "io": OutputRef(name, "io")}
    return digraph(ActionGraph(actions), dict.fromkeys(HOSTILE, "run"))


def unquoted(text: str) -> str:
    """What Graphviz shows for a label: `\\n` is a line break, another character stands for itself."""
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)


def unnumbered(text: str) -> str:
    """What Mermaid shows for a label."""
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)


@pytest.mark.parametrize("form", ["dot", "mermaid", "graphml", "json"])
def test_no_terminal_obeys_it_and_it_is_always_the_same(graph: ActionDiGraph, form: str) -> None:
    text = graph_text(graph, form)
    assert UNSAFE.search(text) is None
    assert graph_text(graph.copy(), form) == text


def test_json_holds_the_whole_graph(graph: ActionDiGraph) -> None:
    back = nx.node_link_graph(json.loads(graph_text(graph, "json")), edges="edges")
    assert isinstance(back, nx.DiGraph)
    assert list(back.nodes(data=True)) == list(graph.nodes(data=True))
    assert list(back.edges(data=True)) == list(graph.edges(data=True))


def test_graphml_is_read_back(graph: ActionDiGraph) -> None:
    back = nx.parse_graphml(graph_text(graph, "graphml"))
    assert isinstance(back, nx.DiGraph)
    shown = {name: escaped(name).replace("\uffff", "\\uffff") for name in HOSTILE}
    assert list(back) == [shown[name] for name in graph]
    assert set(back.edges) == {(shown[a], shown[b]) for a, b in graph.edges}
    for name, node in graph.nodes(data=True):
        told = {"rule": shown[name], "state": "run", "deployables": f"{shown[name]}, b"}
        if node["toolchain"] is not None:
            told["toolchain"] = shown[name]
        assert back.nodes[shown[name]] == told
    for above, name, edge in graph.edges(data=True):
        inputs = ", ".join(shown.get(each, each) for each in edge["inputs"])
        assert back.edges[shown[above], shown[name]] == {"inputs": inputs}


def test_dot_holds_no_statement_but_ours(graph: ActionDiGraph) -> None:
    first, style, *lines, last = graph_text(graph, "dot").split("\n")
    assert (first, last) == ("digraph modelbuild {", "}")
    assert style == '  rankdir=LR; node [shape=box, fontname="sans-serif"];'
    nodes = [found for line in lines if (found := DOT_NODE.fullmatch(line))]
    edges = [found for line in lines if (found := DOT_EDGE.fullmatch(line))]
    assert len(nodes) + len(edges) == len(lines)
    assert [node[1] for node in nodes] == [f"a{number}" for number in range(len(HOSTILE))]
    for node, name in zip(nodes, graph, strict=True):
        told = dict(re.findall(rf"([a-z]+)={DOT_STRING}", node[2]))
        assert unquoted(told.pop("label")) == f"{escaped(name)}\nrun"
        assert unquoted(told["rule"]) == escaped(name)
        assert ("toolchain" in told) == (graph.nodes[name]["toolchain"] is not None)
        assert unquoted(told["deployables"]) == f"{escaped(name)}, b"
    numbers = {name: f"a{number}" for number, name in enumerate(graph)}
    assert [(edge[1], edge[2]) for edge in edges] == [
        (numbers[a], numbers[b]) for a, b in graph.edges
    ]
    assert [unquoted(edge[3]) for edge in edges] == [
        ", ".join(map(escaped, edge["inputs"])) for _, _, edge in graph.edges(data=True)
    ]


def test_mermaid_holds_no_statement_but_ours(graph: ActionDiGraph) -> None:
    first, *lines = graph_text(graph, "mermaid").split("\n")
    assert first == "flowchart LR"
    nodes = [found for line in lines if (found := MERMAID_NODE.fullmatch(line))]
    edges = [found for line in lines if (found := MERMAID_EDGE.fullmatch(line))]
    assert len(nodes) + len(edges) == len(lines)
    for node, name in zip(nodes, graph, strict=True):
        toolchain = graph.nodes[name]["toolchain"]
        below = "run" if toolchain is None else f"run, {escaped(toolchain)}"
        assert unnumbered(node[2]) == f"{escaped(name)}<br/>{below}"
    assert [unnumbered(edge[2]) for edge in edges] == [
        ", ".join(map(escaped, edge["inputs"])) for _, _, edge in graph.edges(data=True)
    ]
