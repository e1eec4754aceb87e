"""One folder a format family. Each holds `rules.py`, `worker.py`, `runtime.py` and its locks."""
