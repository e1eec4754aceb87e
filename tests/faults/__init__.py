"""Processes that are killed at named points and at random, and what the next build makes of it."""
