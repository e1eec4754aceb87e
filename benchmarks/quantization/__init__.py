"""Ours against each library used by hand: quantized artifacts of the recipe `digits`."""
