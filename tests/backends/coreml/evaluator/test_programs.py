"""Whole packages are evaluated as they lie on disk; the cases are in `programs`."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support import toolchain

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
MODULES = ("running", "damaged", "compressed")
pytestmark = pytest.mark.toolchain


def named(module: str) -> list[str]:
    """The cases that a module registers by name."""
    tree = ast.parse((HERE / "programs" / f"{module}.py").read_text())
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(d, ast.Name) and d.id == "case" for d in node.decorator_list)
    ]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """What is wrong with each case: one process of the toolchain runs them all."""
    home = str(tmp_path_factory.mktemp("home"))
    process = subprocess.run(
        [str(toolchain.python("coreml")), "-s", "-m", f"{__package__}.programs", *MODULES],
        cwd=ROOT,
        env={"PATH": os.defpath, "HOME": home, "TMPDIR": home, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert process.returncode == 0, process.stderr
    results: dict[str, str | None] = json.loads(process.stdout)
    return results


@pytest.mark.parametrize("name", [n for module in MODULES for n in named(module)])
def test_case(found: dict[str, str | None], name: str) -> None:
    assert found[name] is None, found[name]


def test_compressed_packages_and_their_decompressed_copies_give_equal_bits(
    found: dict[str, str | None],
) -> None:
    cases = {
        name: wrong for name, wrong in found.items() if name.endswith(("_float16", "_float32"))
    }
    assert len(cases) == 42
    assert {name: wrong for name, wrong in cases.items() if wrong} == {}


def test_to_evaluate_imports_no_converter(found: dict[str, str | None]) -> None:
    assert found["evaluating imports no converter"] is None
