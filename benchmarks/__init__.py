"""Benchmarks: against other build tools, of planning, of cold builds, of our own overhead."""
