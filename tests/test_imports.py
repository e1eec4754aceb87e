"""The modules of the product import one another without cycles, and never upward."""

from __future__ import annotations

import json
import subprocess
import sys

import grimp
import networkx as nx
import pytest

from buildsys.exit_status import ExitStatus

LAYERS = (
    {"cli"},
    {"diagnosis"},
    {"release"},
    {"report", "search"},
    {"engine"},
    {"planner"},
    {"recipe", "store", "toolchains", "verify"},
    {"backends", "figures"},
)
"""The packages of `buildsys`, the highest first: each imports only what is below it."""
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

SEEN = """
import builtins, json, sys
inner, edges = builtins.__import__, set()
def watched(name, globals=None, locals=None, fromlist=(), level=0):
    found = inner(name, globals, locals, fromlist, level)
    importer = (globals or {}).get("__name__", "")
    target = name if not level else importer.rsplit(".", level)[0] + ("." + name if name else "")
    for each in (target, *(f"{target}.{part}" for part in fromlist or ())):
        if each in sys.modules:
            edges.add((importer, each))
    return found
builtins.__import__ = watched
import pkgutil
import buildsys
from buildsys.cli.main import run
for module in pkgutil.walk_packages(buildsys.__path__, "buildsys."):
    # What lies in a backend is imported by its workers, in other environments; `inside` is run there as well.
    if not module.name.startswith(("buildsys.backends.", "buildsys.toolchains.inside")):
        if not module.name.endswith("__main__"):
            __import__(module.name)
status = run(["plan", "--json", "-f", sys.argv[1]])
print(json.dumps([status, sorted(edges)]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import statement of the product, those in functions and for types as well."""
    return grimp.build_graph("buildsys", cache_dir=None)


def test_no_module_imports_itself_by_way_of_others(graph: grimp.ImportGraph) -> None:
    assert cycles({m: graph.find_modules_directly_imported_by(m) for m in graph.modules}) == []


def test_cycles_are_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_nothing_imports_upward_when_all_is_imported_and_a_command_runs() -> None:
    """By what Python was asked for in a process, whatever the source says."""
    done = subprocess.run(
        [sys.executable, "-c", SEEN, "recipes/digits/deploy.yaml"], capture_output=True, text=True
    )
    status, edges = json.loads(done.stderr.splitlines()[-1])
    assert status == ExitStatus.OK
    upward = [edge for edge in edges if is_upward(*edge)]
    assert upward == []
    seen = {level(imported) for _, imported in edges} - {None}
    assert seen == set(range(len(LAYERS))), "the command went through all layers"


def is_upward(importer: str, imported: str) -> bool:
    """Whether a package imports one that is not below it."""
    mine, theirs = level(importer), level(imported)
    if mine is None or theirs is None or importer.split(".")[1] == imported.split(".")[1]:
        return False
    return theirs <= mine


def level(module: str) -> int | None:
    """The layer of a module; `None` for one outside of the packages."""
    parts = module.split(".")
    return LEVEL.get(parts[1]) if parts[0] == "buildsys" and len(parts) > 1 else None


def cycles(imports: dict[str, set[str]]) -> list[list[str]]:
    """The modules of each cycle."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_edges_from((m, target) for m, targets in imports.items() for target in targets)
    found = nx.strongly_connected_components(graph)
    return sorted(sorted(modules) for modules in found if len(modules) > 1)
