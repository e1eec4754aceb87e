"""`modelbuild why` on a real recipe: what docs/cache.md shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.project import Project

CACHE = (Path(__file__).parents[2] / "docs" / "cache.md").read_text()


@pytest.mark.toolchain
def test_the_chain_of_the_documentation_is_the_real_one(digits: Project) -> None:
    path = digits.folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    (shown,) = re.findall(r"\$ modelbuild (why .*?)\n(.*?)```", CACHE, flags=re.S)
    said = digits.run(*shown[0].split())
    assert said.code == 0, said.stderr

    def plain(text: str) -> str:
        return re.sub(r"[0-9a-f]{6}…", "…", text)

    assert plain(said.stdout) == plain(shown[1])
