"""The engine: what is stale and why, and running it."""
