"""The command `modelbuild`: one file a command, each thin: parse, call the API, render."""

from buildsys.cli.main import main

__all__ = ["main"]
