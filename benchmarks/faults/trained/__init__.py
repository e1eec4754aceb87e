"""Trained networks out of public wheels: where they come from, and signals like those they know."""
