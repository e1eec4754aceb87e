"""Looks into artifacts: every tensor of a run, and the weights that are stored."""
