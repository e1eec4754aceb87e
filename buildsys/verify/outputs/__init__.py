"""Compares outputs: an artifact's against the original's, on the same samples, as figures."""
