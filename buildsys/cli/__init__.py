"""The command `modelbuild`: one file a command, each thin: parse, call the API, render."""
