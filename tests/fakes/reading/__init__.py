"""A backend with one step: it runs the project's `model.read()`."""
