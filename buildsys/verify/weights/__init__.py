"""Compares weights: which of the model's each constant of an artifact is, and which were altered."""
