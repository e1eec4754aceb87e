"""Judges artifacts: figures against the original model's outputs, and gates on those figures."""
