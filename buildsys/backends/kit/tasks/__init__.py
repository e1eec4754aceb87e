"""How good a model is at its task: metrics, their direction, and what a difference is worth."""
