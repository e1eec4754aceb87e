"""The questions that `modelbuild verify` answers, one module each with `run`."""
