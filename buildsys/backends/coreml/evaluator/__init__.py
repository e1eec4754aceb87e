"""Executes the ML program of a saved `.mlpackage` with torch, operation by operation."""
