"""`include:`: fragments that are put under a recipe.

Sections (`models`, `datasets`, …) are joined by name. What the recipe defines itself wins as a
whole; two fragments that define the same name are an error. A fragment includes nothing itself, and
its paths are relative to the recipe's folder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.text.document import Edge, Key, Node
from buildsys.recipe.text.position import Position

SECTIONS = ("datasets", "models", "quantization", "acceptance", "targets", "toolchains")


@dataclass(frozen=True)
class Fragment:
    """An included file.

    Attributes:
        root: Its document.
        place: The item of `include` that names it.
    """

    root: Node
    place: Position


def join(recipe: Node, fragments: list[Fragment]) -> tuple[Node, list[Diagnostic]]:
    """The recipe's document with the fragments under it, and what is wrong with them."""
    diagnostics: list[Diagnostic] = []
    joined = dict(recipe.children)
    from_fragments: dict[tuple[Key, ...], Edge] = {}
    for fragment in fragments:
        for key, edge in fragment.root.children.items():
            below = edge.brought_by(fragment.place.noted("included here"))
            if key == "include":
                hint = "name the file in the recipe itself"
                diagnostics.append(
                    Diagnostic("only the recipe may include", edge.key_position(), hint, below.via)
                )
            elif key == "version":
                diagnostics += _other_version(edge, below)
            elif str(key).startswith("x-"):
                continue  # anchors do not reach other files
            elif key in SECTIONS and not isinstance(edge.node.data, dict):
                diagnostics.append(
                    Diagnostic(f"`{key}` must be a mapping", edge.value_position(), None, below.via)
                )
            elif key in SECTIONS:
                joined[key], found = _section(joined.get(key), key, below, recipe, from_fragments)
                diagnostics += found
            else:
                diagnostics += _defined_twice(from_fragments, (key,), below)
                joined.setdefault(key, below)
    return _with_children(recipe, joined), diagnostics


def _other_version(edge: Edge, below: Edge) -> list[Diagnostic]:
    if edge.node.data == 1 or edge.node.broken:
        return []
    message = "a fragment has another `version` than 1"
    return [Diagnostic(message, edge.value_position(), "write `version: 1`", below.via)]


def _section(
    present: Edge | None,
    section: Key,
    added: Edge,
    recipe: Node,
    from_fragments: dict[tuple[Key, ...], Edge],
) -> tuple[Edge, list[Diagnostic]]:
    """A section with the names of one more fragment."""
    diagnostics: list[Diagnostic] = []
    own = recipe.children[section].node.children if section in recipe.children else {}
    if present is not None and not isinstance(present.node.data, dict):
        return present, diagnostics  # the schema says that it is not a mapping
    children = dict(present.node.children) if present is not None else {}
    for name, edge in added.node.children.items():
        below = replace(edge, via=(*added.via, *edge.via))
        diagnostics += _defined_twice(from_fragments, (section, name), below)
        if name not in own:
            children.setdefault(name, below)
    base = replace(added, via=()) if present is None else present
    return replace(base, node=_with_children(base.node, children)), diagnostics


def _defined_twice(
    from_fragments: dict[tuple[Key, ...], Edge], path: tuple[Key, ...], edge: Edge
) -> list[Diagnostic]:
    first = from_fragments.setdefault(path, edge)
    if first is edge:
        return []
    return [
        Diagnostic(
            f"two fragments define `{'.'.join(map(str, path))}`",
            edge.key_position(),
            "delete one, or define it in the recipe's own file and in no fragment",
            (first.key_position().noted("first defined here"),),
        )
    ]


def _with_children(node: Node, children: dict[Key, Edge]) -> Node:
    return replace(
        node,
        data={key: edge.node.data for key, edge in children.items()},
        children=children,
        size=1 + sum(edge.node.size for edge in children.values()),
    )
