"""The cheapest way from a model's source to a format in a scheme.

The nodes are (format, scheme); the edges are rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from buildsys.backends.base import Backend, Rule
from buildsys.planner.catalog import Catalog
from buildsys.planner.impossible import Impossible

State = tuple[str, str | None]

if TYPE_CHECKING:
    import networkx as nx

    FormatGraph = nx.DiGraph[State]

SEARCHED = "routes"
Routes = dict[State, tuple["Step", ...]]
"""The cheapest routes from one place, by where they end."""


@dataclass(frozen=True)
class Step:
    """One rule on a route, the scheme that it brings about, and which of its formats it takes."""

    backend: Backend
    rule: Rule
    scheme: str | None
    taken: str


class NoRoute(Impossible):
    """There is no way, with what would be needed in words."""


def edges(catalog: Catalog, method: str) -> Iterator[tuple[State, State, Step]]:
    """Every step that a model captured by `method` may take."""
    for backend, rule in catalog.rules:
        if rule.refines or (rule.methods and method not in rule.methods):
            continue
        schemes = rule.schemes if rule.quantizes else (None, *rule.schemes)
        for taken in rule.takes:
            for scheme in schemes:
                yield (taken, None), (rule.gives, scheme), Step(backend, rule, scheme, taken)
            for scheme in rule.carries:
                yield (taken, scheme), (rule.gives, scheme), Step(backend, rule, None, taken)


def cheapest(
    catalog: Catalog, source: str, method: str, goal: State, way: str | None = None
) -> tuple[Step, ...]:
    """The cheapest route from `source` (such as `source:factory`) to `goal`.

    Args:
        catalog: All backends.
        source: Where to start.
        method: The model's `capture:`.
        goal: The format and scheme wanted.
        way: Only steps without a `route` word, or with this one, make the goal's format.

    Raises:
        NoRoute: Nothing leads there.
    """
    # Without a word, one search finds the routes to all formats.
    asked = (SEARCHED, source, method, way and (goal[0], way))
    found: Routes | None = catalog.routes.get(asked)
    if found is None:
        found = catalog.routes[asked] = _search(catalog, source, method, goal[0], way)
    if goal not in found:
        reached = {name for name, _ in found}
        raise NoRoute(*_explain(catalog, source, method, goal, way, reached))
    return found[goal]


def found_routes(catalog: Catalog) -> list[list[Any]]:
    """The routes that were found so far, as plain data: rules by their number in the catalog."""
    numbers = {id(rule): number for number, (_, rule) in enumerate(catalog.rules)}
    return [
        [
            list(asked),
            [
                [*end, [[numbers[id(step.rule)], step.scheme, step.taken] for step in steps]]
                for end, steps in found.items()
            ],
        ]
        for asked, found in catalog.routes.items()
        if asked[0] == SEARCHED
    ]


def take_routes(catalog: Catalog, rows: list[list[Any]]) -> None:
    """Takes routes as `found_routes` gave them, of the same catalog; they are not searched again.

    Raises:
        IndexError, TypeError, ValueError: They are not such rows.
    """
    for (kind, source, method, way), ends in rows:
        found: Routes = {}
        for name, scheme, steps in ends:
            route = []
            for number, brought, taken in steps:
                backend, rule = catalog.rules[number]
                route.append(Step(backend, rule, brought, taken))
            found[name, scheme] = tuple(route)
        catalog.routes[kind, source, method, way and tuple(way)] = found


def _search(catalog: Catalog, source: str, method: str, made: str, way: str | None) -> Routes:
    """The cheapest route to everything that can be reached; `way` is about the format `made`."""
    import networkx as nx  # Takes 0.1 s, so only where routes are searched.

    graph: FormatGraph = nx.DiGraph()
    graph.add_node((source, None))
    for start, end, step in edges(catalog, method):
        if way is not None and end[0] == made and step.rule.route not in (None, way):
            continue
        cost = step.rule.cost_of(method)
        if not graph.has_edge(start, end) or cost < graph.edges[start, end]["cost"]:
            graph.add_edge(start, end, cost=cost, step=step)
    paths = nx.single_source_dijkstra_path(graph, (source, None), weight="cost")
    return {
        end: tuple(graph.edges[edge]["step"] for edge in pairwise(path))
        for end, path in paths.items()
    }


def without(catalog: Catalog, source: str, method: str, rule: Rule) -> tuple[str, ...]:
    """What a model can be had as by ways that a rule is not on: format names, and routes in words.

    Args:
        catalog: All backends.
        source: Where the model starts.
        method: The model's `capture:`.
        rule: The step that is in the way.
    """
    asked = ("without", source, method, id(rule))
    found: tuple[str, ...] | None = catalog.routes.get(asked)
    if found is None:
        names = [n for n in catalog.deployable_formats() if catalog.formats[n].numeric]
        goals: list[State] = [(name, None) for name in names]
        goals += [(rule.gives, way) for way in ways(catalog, rule.gives)]
        found = catalog.routes[asked] = tuple(
            f"{name} by `route: {way}`" if way else name
            for name, way in goals
            if (name != rule.gives or way) and _avoids(catalog, source, method, name, way, rule)
        )
    return found


def _avoids(
    catalog: Catalog, source: str, method: str, name: str, way: str | None, rule: Rule
) -> bool:
    try:
        steps = cheapest(catalog, source, method, (name, None), way)
    except NoRoute:
        return False
    return all(step.rule is not rule for step in steps)


def refined(
    catalog: Catalog, steps: tuple[Step, ...], format_name: str, options: Mapping[str, Any]
) -> tuple[Step, ...]:
    """A route with the steps that a deployable's options ask for, before what quantizes.

    Args:
        catalog: All backends.
        steps: The route to `format_name`.
        format_name: The deployable's format; what lies before it on the route is left as it is.
        options: That format's options, all of them.
    """
    asked = tuple(
        Step(backend, rule, None, format_name)
        for backend, rule in refiners(catalog, format_name)
        if rule.when is not None and rule.when(options)
    )
    if not asked:
        return steps
    last = max(
        number
        for number, step in enumerate(steps)
        if step.rule.gives == format_name and not step.rule.quantizes
    )
    return (*steps[: last + 1], *asked, *steps[last + 1 :])


def refiners(catalog: Catalog, format_name: str) -> tuple[tuple[Backend, Rule], ...]:
    """The rules that options of a format may ask for, in the order of their declaration."""
    return catalog.refiners.get(format_name, ())


def ways(catalog: Catalog, format_name: str) -> list[str]:
    """The words that `route:` may take for a format."""
    return sorted(
        {r.route for _, r in catalog.rules if r.gives == format_name and r.route is not None}
    )


def _explain(
    catalog: Catalog, source: str, method: str, goal: State, way: str | None, reached: set[str]
) -> tuple[str, str]:
    makers = [
        r
        for _, r in catalog.rules
        if r.gives == goal[0] and not r.refines and (way is None or r.route in (None, way))
    ]
    needs = sorted({taken for r in makers for taken in r.takes if taken != goal[0]})
    message = f"no route leads from {source.removeprefix('source:')} to {goal[0]}"
    if way is not None:
        message += f" by `route: {way}`"
    hint = f"{goal[0]} is made from {' or '.join(needs) or 'nothing that is installed'}"
    have = sorted(name for name in reached if not name.startswith("source:"))
    if have:
        hint += f"; this model can be built as {', '.join(have)}"
    other = [w for w in ways(catalog, goal[0]) if w != way]
    if way is not None and other:
        hint += f"; try `route: {other[0]}`"
    return message, hint
