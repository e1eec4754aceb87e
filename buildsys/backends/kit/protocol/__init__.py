"""The step protocol: what a worker function is given, and what it says of its work."""
