"""A C compiler: the machine's, or one from PyPI."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.support import toolchain


def shared_library(source: Path, target: Path, *flags: str) -> None:
    """Compiles C into a shared library."""
    subprocess.run([*_compiler(), "-shared", "-fPIC", *flags, source, "-o", target], check=True)


@cache
def _compiler() -> tuple[str, ...]:
    found = shutil.which("cc")
    if found is not None:
        return (found,)
    python = toolchain.of_tests("compiler-tests", Path(__file__).parent)
    return (str(python), "-m", "ziglang", "cc")
