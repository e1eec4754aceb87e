"""What is imported when: planning is cheap, and the layers point one way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
CONVERTERS = {
    "torch",
    "onnx",
    "onnxruntime",
    "coremltools",
    "tensorflow",
    "ai_edge_litert",
    "litert_torch",
    "executorch",
    "safetensors",
    "fastapi",
    "uvicorn",
    "tritonclient",
}


def imported_by(code: str, *arguments: str) -> set[str]:
    """Names in `sys.modules` after a piece of code has run in a process of its own."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{code}\nimport sys; print('\\n'.join(sys.modules), file=sys.stderr)",
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        env=dict(os.environ),
    )
    return set(done.stderr.splitlines())


def test_plan_imports_no_converter_and_no_worker() -> None:
    modules = imported_by(
        "import sys; from buildsys.cli.main import run\n"
        "assert run(['plan', '-f', 'recipes/digits/deploy.yaml']) == 0"
    )
    assert "buildsys.engine.staleness.walk" in modules
    assert {name.partition(".")[0] for name in modules} & CONVERTERS == set()
    workers = [
        n
        for n in modules
        if n.startswith("buildsys.backends.") and n.endswith(("worker", "runtime"))
    ]
    assert workers == []
    assert "numpy" not in modules


def test_help_imports_next_to_nothing() -> None:
    modules = imported_by("from buildsys.cli.main import run\nassert run(['--help']) == 0")
    assert {"pydantic", "rich", "yaml", "sqlite3", "numpy"} & modules == set()


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout
