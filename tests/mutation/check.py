"""Whether a change is seen, and by whom it has to be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

import buildsys
from buildsys.recipe import RecipeError
from buildsys.store import Memo
from tests.mutation import recipe
from tests.mutation.bench import Bench
from tests.mutation.cases import SOMETHING, Case

PACKAGE = Path(buildsys.__file__).parent


def complaint(bench: Bench, case: Case) -> str | None:
    """What is wrong with how a change is seen; `None` where it is seen as it must be.

    What no step has to do with must be told by the verdicts, the labels or the report, and run nothing.
    """
    tree = recipe.tree()
    case.change(tree)
    bench.write(tree)
    try:
        seen = bench.seen()
    except RecipeError:
        if case.rules == SOMETHING:
            return None
        raise
    if case.rules == SOMETHING:
        return None if seen.rules and seen.runs else f"{case.id} is not seen"
    wanted = frozenset(case.rules.split())
    if seen.rules != wanted:
        missing, more = sorted(wanted - seen.rules), sorted(seen.rules - wanted)
        return f"{case.id} is not seen by {missing}; seen besides by {more}"
    if wanted:
        return None if seen.runs else f"nothing runs after {case.id}"
    build = bench.build()
    if bench.runner.ran:
        return f"{case.id} runs {bench.runner.ran}"
    return None if bench.shown(build) != bench.report else f"{case.id} is not seen"


def edit(monkeypatch: pytest.MonkeyPatch, names: Iterable[str]) -> None:
    """Makes sources look as if they had been edited."""
    digest = Memo.digest
    paths = {str(PACKAGE / name) for name in names}

    def edited(memo: Memo, path: Path) -> str | None:
        found = digest(memo, path)
        return f"sha256:other {path}" if str(path) in paths else found

    monkeypatch.setattr(Memo, "digest", edited)
