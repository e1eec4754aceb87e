"""Which of several routes a deployable takes: `routes` of `deploy.lock.yaml`, read and checked.

`route: [exported, torchscript]` takes the first, and the second only where the first gives nothing that holds
its gates. Failures are not cached, so the answer is written down: as what searches choose, it stays until its
question is another one (the routes, the entry's format and options, the model as the recipe declares it) or
until `modelbuild build --search` asks again. A first route that works leaves no trace in the lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from buildsys.planner.entries import Entry
from buildsys.recipe import Detour, Diagnostic, Recipe
from buildsys.recipe.text.document import Node, follow

TOLD = {"inputs": {"__all__": {"preprocess"}}, "outputs": {"__all__": {"labels"}}}
"""What of a model is words for apps: it decides no number."""


def read(recipe: Recipe, root: Node, entries: Iterable[Entry]) -> dict[str, Detour]:
    """The detours of a lock that answer what the recipe asks now.

    Args:
        recipe: The recipe.
        root: The lock, which `malformed` has nothing to say of.
        entries: The deployables that name several routes.
    """
    listed = root.data.get("routes", {})
    found = {}
    for entry in entries:
        held = listed.get(entry.label)
        if held is not None and held["asked"] == asked(recipe, entry):
            found[entry.label] = Detour(held["taken"], held["failed"])
    return found


def record(recipe: Recipe, entry: Entry, detour: Detour) -> dict[str, Any]:
    """A detour as the lock has it."""
    return {
        "asked": asked(recipe, entry),
        "taken": detour.taken,
        "failed": dict(detour.failed),
    }


def asked(recipe: Recipe, entry: Entry) -> str:
    """The digest of what a detour answers."""
    item = entry.item
    model = recipe.spec.models[entry.model]
    question = {
        "target": entry.target,
        "format": item.format,
        "quantization": item.quantization,
        "options": item.options,
        "routes": list(item.routes),
        "model": model.model_dump(mode="json", exclude_defaults=True, exclude=TOLD),
    }
    text = json.dumps(question, sort_keys=True, ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def malformed(root: Node, hint: str) -> list[Diagnostic]:
    """What of the part `routes` of a lock cannot be read."""
    if "routes" not in root.data:
        return []
    routes = follow(root, ("routes",))
    if not isinstance(root.data["routes"], dict):
        return [Diagnostic("`routes` is not a mapping", routes.key_position(), hint)]
    found = []
    for label, edge in routes.node.children.items():
        held = edge.node.data
        right = (
            isinstance(held, dict)
            and isinstance(held.get("asked"), str)
            and isinstance(held.get("taken"), str)
            and isinstance(held.get("failed"), dict)
            and all(isinstance(why, str) for why in held["failed"].values())
        )
        if not right:
            message = f"the route of `{label}` has no `asked`, `taken` and `failed`"
            found.append(Diagnostic(message, edge.key_position(), hint))
    return found
