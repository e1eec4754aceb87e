"""The cheapest way from a model's source to a format in a scheme.

The nodes are (format, scheme); the edges are rules. There are a dozen nodes, so a plain Dijkstra
over tuples says it all.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from buildsys.backends.base import Backend, Rule
from buildsys.planner.catalog import Catalog

State = tuple[str, str | None]


@dataclass(frozen=True)
class Step:
    """One rule on a route, and the scheme of what it makes."""

    backend: Backend
    rule: Rule
    scheme: str | None


class NoRoute(Exception):
    """There is no way, with what would be needed in words."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def edges(catalog: Catalog, method: str) -> Iterator[tuple[State, State, Step]]:
    """Every step that a model captured by `method` may take."""
    for backend, rule in catalog.rules:
        if rule.methods and method not in rule.methods:
            continue
        schemes = rule.schemes if rule.quantizes else (None, *rule.schemes)
        for taken in rule.takes:
            for scheme in schemes:
                yield (taken, None), (rule.gives, scheme), Step(backend, rule, scheme)


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
    asked = (source, method, goal, way)
    found: tuple[Step, ...] | None = catalog.routes.get(asked)
    if found is None:
        found = catalog.routes[asked] = _search(catalog, source, method, goal, way)
    return found


def _search(
    catalog: Catalog, source: str, method: str, goal: State, way: str | None
) -> tuple[Step, ...]:
    outgoing: dict[State, list[tuple[State, Step]]] = {}
    for start, end, step in edges(catalog, method):
        chosen = way is None or step.rule.route in (None, way) or step.rule.gives != goal[0]
        if chosen:
            outgoing.setdefault(start, []).append((end, step))
    queue: list[tuple[float, int, State, tuple[Step, ...]]] = [(0.0, 0, (source, None), ())]
    done: set[State] = set()
    pushed = 0
    while queue:
        cost, _, state, steps = heapq.heappop(queue)
        if state == goal:
            return steps
        if state in done:
            continue
        done.add(state)
        for end, step in outgoing.get(state, ()):
            pushed += 1
            heapq.heappush(queue, (cost + step.rule.cost, pushed, end, (*steps, step)))
    raise NoRoute(*_explain(catalog, source, method, goal, way, {s for s, _ in done}))


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
        if r.gives == goal[0] and (way is None or r.route in (None, way))
    ]
    needs = sorted({taken for r in makers for taken in r.takes if taken != goal[0]})
    message = f"no route leads from {source.removeprefix('source:')} to {goal[0]}"
    if way is not None:
        message += f" by `route: {way}`"
    hint = f"{goal[0]} is made from {' or '.join(needs) or 'nothing that is installed'}"
    have = sorted(name for name in reached if not name.startswith("source:"))
    if have:
        hint += f"; this model can be had as {', '.join(have)}"
    other = [w for w in ways(catalog, goal[0]) if w != way]
    if way is not None and other:
        hint += f"; try `route: {other[0]}`"
    return message, hint
