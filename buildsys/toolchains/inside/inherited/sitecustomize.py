"""Has a Python that a step starts tell what it reads; every Python imports this that finds it on its path."""

from __future__ import annotations

import importlib.util
import json
import os
import sys


def _carry_on() -> None:
    told_in = os.environ.get("MODELBUILD_READS")
    if told_in is None:
        return
    with open(told_in, encoding="utf-8") as stream:
        told = json.load(stream)
    for name in ("reads", "watch", "hook"):
        path = os.path.join(told["modules"], f"{name}.py")
        spec = importlib.util.spec_from_file_location(f"modelbuild_{name}", path)
        if spec is None or spec.loader is None:
            raise ImportError(path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    sys.modules["modelbuild_hook"].carry_on(told)


def _next() -> None:
    """Runs the `sitecustomize` that this one hides, where there is one."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = [each for each in sys.path if os.path.abspath(each) != here]
    sys.path[:] = path  # Nobody else looks for anything here.
    hidden = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if hidden is not None and hidden.loader is not None:
        hidden.loader.exec_module(importlib.util.module_from_spec(hidden))


_carry_on()
_next()
