"""The action graph as networkx has it agrees with what the engine goes by."""

from __future__ import annotations

import networkx as nx
import pytest

from buildsys.engine.results import Plan
from buildsys.planner.graph import OutputRef
from tests.space import Space


@pytest.fixture
def plan(space: Space) -> Plan:
    return space.plan()


def test_nodes_say_what_actions_are(plan: Plan) -> None:
    assert list(plan.graph) == list(plan.action_graph.actions)
    for name, action in plan.action_graph.actions.items():
        assert plan.graph.nodes[name] == {
            "rule": action.rule,
            "toolchain": action.environment,
            "state": plan.standings[name].state.value,
            "deployables": action.labels,
        }


def test_edges_say_which_inputs_they_go_into(plan: Plan) -> None:
    told = {
        (above, name, given)
        for above, name, edge in plan.graph.edges(data=True)
        for given in edge["inputs"]
    }
    assert told == {
        (ref.action, name, given)
        for name, action in plan.action_graph.actions.items()
        for given, ref in action.inputs.items()
        if isinstance(ref, OutputRef)
    }
    assert any(len(edge["inputs"]) > 1 for _, _, edge in plan.graph.edges(data=True))


def test_the_engines_order_and_networkx_agree(plan: Plan) -> None:
    graph, actions = plan.graph, plan.action_graph
    assert nx.is_directed_acyclic_graph(graph)
    place = {name: number for number, name in enumerate(graph)}
    assert all(place[above] < place[name] for above, name in graph.edges)
    for name in graph:
        below = actions.below(OutputRef(name, "artifact"))
        assert set(below) == nx.ancestors(graph, name) | {name}
        assert below == sorted(below, key=place.__getitem__)


def test_a_built_project_is_known_throughout(space: Space) -> None:
    space.build()
    plan = space.plan()
    assert {node["state"] for _, node in plan.graph.nodes(data=True)} == {"hit"}
    space.weights([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    plan = space.plan()
    stale = {name for name, node in plan.graph.nodes(data=True) if node["state"] != "hit"}
    roots = {name for name in stale if not nx.ancestors(plan.graph, name) & stale}
    assert all("checkpoint" in plan.action_graph.actions[name].inputs for name in roots)
    assert stale == set().union(*(nx.descendants(plan.graph, name) for name in roots)) | roots


def test_it_is_a_copy(plan: Plan) -> None:
    name = next(n for n in plan.graph if plan.graph.nodes[n]["deployables"])
    plan.graph.nodes[name]["deployables"].clear()
    assert plan.action_graph.actions[name].labels
