"""One folder a format family. Each holds `rules.py`, `worker.py`, `runtime.py` and its locks."""

from pathlib import Path

BUILT_IN = Path(__file__).parent
"""Where they lie."""
