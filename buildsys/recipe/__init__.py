"""`deploy.yaml` to a recipe: schema, loading with positions, diagnostics."""

from buildsys.recipe.diagnostic import Diagnostic, RecipeError
from buildsys.recipe.loading import Check, find, load
from buildsys.recipe.position import Position
from buildsys.recipe.recipe import Choice, Detour, Recipe
from buildsys.recipe.schema import schema
from buildsys.recipe.spec import Spec

__all__ = [
    "Check",
    "Choice",
    "Detour",
    "Diagnostic",
    "Position",
    "Recipe",
    "RecipeError",
    "Spec",
    "find",
    "load",
    "schema",
]
