"""A backend whose models are arrays: real actions in real processes, without any converter."""
