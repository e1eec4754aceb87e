"""Tests of the recipes that the project ships."""
