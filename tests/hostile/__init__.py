"""Hostile input: whatever a recipe, a bundle or a lock holds, the command says what is wrong with it."""
