"""Runs every case of this package and prints, as JSON, what is wrong with each, or null."""

from __future__ import annotations

import importlib
import json
import sys
import traceback

from buildsys.backends.coreml.evaluator import program

# A Mac's converter is not needed to evaluate, and takes seconds to import.
EAGER = [name for name in sys.modules if name.startswith("coremltools.converters")]

from .making import CASES  # noqa: E402

assert program is not None
for module in sys.argv[1:]:
    importlib.import_module(f".{module}", __package__)
found = {"evaluating imports no converter": str(EAGER) if EAGER else None}
for name, case in CASES.items():
    try:
        case()
    except Exception:
        found[name] = traceback.format_exc()
    else:
        found[name] = None
print(json.dumps(found))
