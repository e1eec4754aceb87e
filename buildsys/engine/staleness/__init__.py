"""What is stale, and why: keys, the walk over the graph, and what changed in words."""
