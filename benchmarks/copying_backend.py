"""The copying backend, imported from where it lies: for what runs without installing it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from buildsys.backends.base import Backend

PACKAGE = Path(__file__).parent / "copying" / "modelbuild_copying"


def load() -> Backend:
    """Reads its declarations."""
    spec = importlib.util.spec_from_file_location("modelbuild_copying_rules", PACKAGE / "rules.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{PACKAGE} holds no rules")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    backend: Backend = module.backend
    return backend
