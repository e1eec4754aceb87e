"""What a worker's code is: found by reading, and as much as is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildsys.backends import BUILT_IN
from buildsys.engine.staleness.implementation import Implementations
from buildsys.planner.graph import Worker
from buildsys.planner.workers import host_worker
from buildsys.store import Index, Memo
from buildsys.toolchains.inside.program import PACKAGE

MEASURE = "buildsys.verify.outputs.measurement:measure"
COMPARE = "buildsys.verify.weights.comparison:compare_weights"
OURS = {
    "__init__.py": "",
    "worker.py": (
        "from typing import TYPE_CHECKING\n"
        "import numpy\n"
        "from . import parts\n"
        "from .names import alone\n"
        "from ..kit.protocol.request import Request\n"
        "if TYPE_CHECKING:\n"
        "    from .hints import Hint\n"
        "def run(request: Request) -> None:\n"
        "    from .late import late\n"
        "    start('run.mjs')\n"
    ),
    "parts/__init__.py": "from .inner import one\n",
    "parts/inner.py": "from ...kit.run import signals\n",
    "parts/unused.py": "",
    "names.py": "alone = 1\n",
    "hints.py": "",
    "late.py": "",
    "run.mjs": "import { serve } from '../mine/more.mjs';\n",
    "more.mjs": "",
    "other.mjs": "",
    "rules.py": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A third party's backend."""
    made = tmp_path / "mine"
    for name, text in OURS.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    return made


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Callable[[], Implementations]]:
    """A look at the disk as it is now; each has a memo of its own, and all one index."""
    index = Index(tmp_path / "store")
    yield lambda: Implementations(Memo(index), index)
    index.close()


def worker(folder: Path) -> Worker:
    """The worker of that backend."""
    return Worker("worker:run", "mine", folder, (f"{PACKAGE}.mine.worker",))


def test_it_is_what_is_imported(folder: Path, look: Callable[[], Implementations]) -> None:
    found = look().files(worker(folder))
    mine = {name for name, file in found.items() if file.is_relative_to(folder)}
    assert mine == {
        *(f"{PACKAGE}.mine{each}" for each in ("", ".worker", ".parts", ".parts.inner", ".names")),
        *(f"{PACKAGE}.mine.late", "mine/run.mjs", "mine/more.mjs"),
    }
    assert found[f"{PACKAGE}.kit.run.signals"] == BUILT_IN / "kit" / "run" / "signals.py"
    assert found[f"{PACKAGE}.kit.protocol.progress"].is_file()
    assert f"{PACKAGE}.kit.run.measurement" not in found


@pytest.mark.parametrize(
    ("name", "text", "seen"),
    [
        ("parts/inner.py", "from ...kit.run import signals  # Edited.\n", True),
        ("parts/unused.py", "edited = True\n", False),
        ("hints.py", "edited = True\n", False),
        ("more.mjs", "// Edited.\n", True),
        ("other.mjs", "// Edited.\n", False),
        ("added.py", "", False),
        ("parts/one.py", "", False),
        # A package comes before a module of the same name.
        ("parts/inner/__init__.py", "", True),
        ("names/__init__.py", "alone = 2\n", True),
        ("worker.py", OURS["worker.py"] + "from .parts import unused\n", True),
    ],
)
def test_an_edit_is_seen_by_what_imports_it(
    folder: Path, look: Callable[[], Implementations], name: str, text: str, seen: bool
) -> None:
    before = look().of(worker(folder))
    assert look().of(worker(folder)) == before
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    assert (look().of(worker(folder)) != before) is seen


def test_a_module_that_appears_takes_part(
    folder: Path, look: Callable[[], Implementations]
) -> None:
    (folder / "worker.py").write_text(
        "try:\n    from . import fast\nexcept ImportError:\n    pass\n"
    )
    before = look().of(worker(folder))
    (folder / "fast.py").write_text("")
    assert look().of(worker(folder)) != before


def test_another_place_is_the_same_code(
    folder: Path, tmp_path: Path, look: Callable[[], Implementations]
) -> None:
    moved = tmp_path / "elsewhere" / "mine"
    moved.parent.mkdir()
    before = look().of(worker(folder))
    folder.rename(moved)
    assert look().of(worker(moved)) == before


def test_an_unchanged_module_is_parsed_once(
    folder: Path, look: Callable[[], Implementations], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look()
    digest = first.of(worker(folder))
    first.save()
    monkeypatch.setattr("buildsys.engine.staleness.source_needs.needs_of", None)
    assert look().of(worker(folder)) == digest


def test_a_measurement_has_no_gate_in_it(look: Callable[[], Implementations]) -> None:
    """Steps of the coordinator: each has its own question's modules and those that it shares."""
    known = look()
    measure, compare = (known.files(host_worker(each)) for each in (MEASURE, COMPARE))
    assert {"buildsys.verify.outputs.metrics", "buildsys.verify.wording"} <= measure.keys()
    assert "buildsys.verify.weights.lookup" in compare
    for found in (measure, compare):
        assert not [name for name in found if ".judgment" in name or ".localization" in name]
        assert "buildsys" not in found
    assert not [name for name in measure if ".verify.weights" in name]
    assert not [name for name in compare if ".verify.outputs" in name]
