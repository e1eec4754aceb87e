"""The schema of a recipe, a part a module."""
