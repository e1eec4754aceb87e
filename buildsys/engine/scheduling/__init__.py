"""Runs a graph: what can start, what is running, and where each action is."""
