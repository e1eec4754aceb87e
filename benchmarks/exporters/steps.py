"""Runs steps of a build one after the other, in one process; runs in a toolchain.

    python -m benchmarks.exporters.steps < STEPS

STEPS is a list of `{"id", "worker": "BACKEND.MODULE:FUNCTION", "inputs", "outputs", "options", "project",
"package", "scratch"}`, as `Request` takes them; after each a line `{"id", "error"}` is printed, with `null`
where it did what it should. A build starts a process for each step, and measures and compares much besides.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from buildsys.backends.kit.protocol.request import Request, StepError


def done(step: dict[str, Any]) -> str | None:
    """Runs a step; what is wrong with it, or `None`."""
    module, _, function = step["worker"].partition(":")
    scratch = Path(step["scratch"])
    scratch.mkdir(parents=True, exist_ok=True)
    request = Request(
        {name: Path(path) for name, path in step["inputs"].items()},
        {name: Path(path) for name, path in step["outputs"].items()},
        step["options"],
        scratch,
        project=Path(step["project"]),
    )
    os.chdir(step["project"])
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Libraries print.
            getattr(importlib.import_module(module), function)(request)
    except StepError as error:
        return error.message
    except Exception as error:  # A crash of a converter is a result here.
        return f"{type(error).__name__}: {error}"
    return None


def main() -> None:
    """Runs all steps of stdin."""
    for step in json.load(sys.stdin):
        sys.path[:] = dict.fromkeys([step["project"], *sys.path])
        # Each project has a package of this name.
        for name in [each for each in sys.modules if each.partition(".")[0] == step["package"]]:
            del sys.modules[name]
        importlib.invalidate_caches()
        print(json.dumps({"id": step["id"], "error": done(step)}), flush=True)


if __name__ == "__main__":
    main()
