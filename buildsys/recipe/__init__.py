"""`deploy.yaml` to a recipe: schema, loading with positions, diagnostics.

Names are imported when they are asked for: the schema's classes take longer to make than a plan that reuses
an earlier one takes in all.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buildsys.recipe.diagnostic import Diagnostic, RecipeError
    from buildsys.recipe.finding import find
    from buildsys.recipe.loading import Check, load
    from buildsys.recipe.outline import Choice, Detour, Outline
    from buildsys.recipe.recipe import Recipe
    from buildsys.recipe.schema.spec import Spec
    from buildsys.recipe.text.position import Position

__all__ = [
    "Check",
    "Choice",
    "Detour",
    "Diagnostic",
    "Outline",
    "Position",
    "Recipe",
    "RecipeError",
    "Spec",
    "find",
    "load",
]

_MODULES = {
    "diagnostic": ("Diagnostic", "RecipeError"),
    "finding": ("find",),
    "loading": ("Check", "load"),
    "outline": ("Choice", "Detour", "Outline"),
    "recipe": ("Recipe",),
    "schema.spec": ("Spec",),
    "text.position": ("Position",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
