"""Tests of figures, metrics and gates."""
