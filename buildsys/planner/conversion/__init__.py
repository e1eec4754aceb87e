"""The steps from a model's source to an artifact."""
