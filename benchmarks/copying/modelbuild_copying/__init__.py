"""A backend whose converters copy."""
