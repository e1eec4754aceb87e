"""Why a program cannot be evaluated."""

from __future__ import annotations


class Unsupported(ValueError):
    """The program asks for something whose meaning is not known here; nothing is guessed."""


class Undefined(ValueError):
    """The program reads what has no defined value: on a device it may be anything."""
