"""Judges a measurement: the recipe's bounds, default bounds, and what each came to."""
