"""`deploy.yaml` to a recipe: schema, loading with positions, diagnostics."""

from buildsys.recipe.diagnostic import Diagnostic, RecipeError
from buildsys.recipe.loading import Check, find, load
from buildsys.recipe.recipe import Choice, Detour, Recipe
from buildsys.recipe.schema.json_schema import schema
from buildsys.recipe.schema.spec import Spec
from buildsys.recipe.text.position import Position

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
