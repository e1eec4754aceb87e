"""Ten edits and damages: each runs what it must and no more, and gives the right bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.changes_table import FILE, Changes, document, observed

pytestmark = pytest.mark.toolchain


def test_ten_of_ten(tmp_path: Path) -> None:
    changes = Changes(tmp_path, Path(os.environ["MODELBUILD_TOOLCHAINS"]))
    _, code = changes.build()
    assert code == 0
    rows = list(observed(changes))
    wrong = [
        (r.case.name, r.code, dict(r.ran), sorted(r.changed), r.plan) for r in rows if not r.right
    ]
    assert not wrong
    assert FILE.read_text() == document(rows), "run `python -m tests.e2e.changes_table`"
    # Ten changes on top of each other give what a build from an empty store gives.
    assert changes.clean(tmp_path / "clean") == changes.artifacts()
