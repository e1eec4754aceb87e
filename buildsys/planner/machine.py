"""What this machine can do of what backends declare."""

from __future__ import annotations

from dataclasses import dataclass

from buildsys.backends.base import Format, Rule, Runtime
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import ActionGraph


@dataclass(frozen=True)
class Runner:
    """What runs artifacts of a format on this machine.

    Attributes:
        runtime: The module, and where it runs.
        evaluates: Whether it is the project's own evaluator, not a runtime that artifacts ship to.
    """

    runtime: Runtime
    evaluates: bool

    @property
    def verb(self) -> str:
        """The last word of the step's name."""
        return "evaluate" if self.evaluates else "run"


def asks_machine(catalog: Catalog, graph: ActionGraph) -> bool:
    """Whether a rule or a runtime of a graph looks at this machine by itself, as for a GPU."""
    asking = {rule.name for _, rule in catalog.rules if rule.asks_machine}
    formats = catalog.formats
    declared = [formats[d.format] for d in graph.deployables if d.format in formats]
    runtimes = [by for f in declared for by in (f.runtime, f.evaluator)]
    return any(action.rule in asking for action in graph.actions.values()) or any(
        runtime is not None and runtime.asks_machine for runtime in runtimes
    )


class Machine:
    """This machine, for one graph: each rule and each runtime is asked once.

    Attributes:
        catalog: All backends.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._lacks: dict[int, str | None] = {}

    def lacks(self, needed: Rule | Runtime) -> str | None:
        """Why this machine cannot do a rule, or has no use of a runtime."""
        if id(needed) not in self._lacks:
            self._lacks[id(needed)] = needed.available()
        return self._lacks[id(needed)]

    def runner(self, declared: Format) -> Runner | None:
        """What runs a format here: its runtime where this machine has it, its evaluator otherwise."""
        for runtime, evaluates in ((declared.runtime, False), (declared.evaluator, True)):
            if runtime is not None and not self.lacks(runtime):
                return Runner(runtime, evaluates)
        return None
