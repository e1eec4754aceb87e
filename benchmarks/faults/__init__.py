"""Faults put into finished artifacts: what the checks of a build catch of them, and where."""
