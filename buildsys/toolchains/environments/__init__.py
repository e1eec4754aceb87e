"""Environments on disk: made, sealed, and known by what is in them."""
