"""Bundles: what a release pipeline publishes for one target."""
