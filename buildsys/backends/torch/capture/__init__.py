"""Captures models as graphs: traced, scripted, exported; and rewrites what converters lack."""
