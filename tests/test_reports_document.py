"""What docs/reports.md shows is what happens."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildsys.bounds import REGRESSION_BOUNDS
from buildsys.diagnosis.rebuilding import Held
from tests.cli.inside import Inside
from tests.space import Space
from tests.test_docs import shape

TEXT = (Path(__file__).parents[1] / "docs" / "reports.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S)


def column(title: str) -> list[str]:
    """The first column of the table of a section."""
    section = TEXT.partition(f"# {title}\n")[2]
    return re.findall(r"^\| `(\w+)` \| (?!means)", re.split(r"\n##+ ", section)[0], flags=re.M)


def examples() -> Iterator[tuple[list[str], list[str]]]:
    """Each command that is shown, and its output."""
    for block in blocks("console"):
        first, *output = block.splitlines()
        assert first.startswith("$ modelbuild ")
        yield first.removeprefix("$ modelbuild ").split(), output


@pytest.fixture
def modelbuild(
    space: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Inside:
    return Inside(space, monkeypatch, capsys)


def release(modelbuild: Inside) -> None:
    """Keeps the last build's report, and makes the changes that the document tells of."""
    space = modelbuild.space
    (space.project / "releases").mkdir()
    kept = space.project / "releases" / "1.0.json"
    shutil.copy(space.project / "artifacts" / "report.json", kept)
    space.edit("deploy.yaml", "outputs: {y: {}}", "outputs: {scores: {}}")
    (shown,) = blocks("yaml")
    space.edit(
        "deploy.yaml",
        "acceptance:\n  close: {signal_error: 1.0e-3}\n",
        shown,
    )
    plain = "{format: onnx, accept: close}"
    space.edit("deploy.yaml", plain, plain[:-1] + ", options: {gain: 1.0001}}")


def settle(modelbuild: Inside) -> None:
    """Has the earlier latency lie 8 % below today's: a neighbour must not decide what is shown."""
    kept = modelbuild.space.project / "releases" / "1.0.json"
    earlier, today = json.loads(kept.read_text()), modelbuild("report", "--json").json()
    for entry, now in zip(earlier["deployables"], today["deployables"], strict=True):
        if now["measurement"]:
            least = now["measurement"]["latency_ms"]["low"] / 1.08
            entry["measurement"]["latency_ms"].update(p50=least, low=least, high=least)
    kept.write_text(json.dumps(earlier))


def test_commands_say_what_is_shown(modelbuild: Inside) -> None:
    modelbuild("build")
    (report, against, rebuild, bundle) = examples()
    said = modelbuild(*report[0])
    assert [shape(s) for s in said.out.splitlines()] == [shape(s) for s in report[1]]
    release(modelbuild)
    modelbuild("build")
    settle(modelbuild)
    said = modelbuild(*against[0])
    assert said.code == 3
    assert [shape(s) for s in said.out.splitlines()] == [shape(s) for s in against[1]]
    compare_forms(modelbuild(*against[0], "--json").json(), json.loads(blocks("json")[0]))
    said = modelbuild(*rebuild[0])
    assert said.code == 0
    assert [shape(s) for s in said.out.splitlines()] == [shape(s) for s in rebuild[1]]
    assert modelbuild(*bundle[0]).code == 0
    told = modelbuild("bundle", "inspect", "toy-1.1-android.tar.zst").json()
    names = {file.rpartition("/")[2] for file in told["selftest"]["files"]}
    assert names == {"selftest.py", "cases.json", "inputs.npz", "expected.npz"}


def compare_forms(found: Any, shown: Any, where: str = "") -> None:
    """Fields are the same everywhere, and all but figures are the same values."""
    if isinstance(shown, dict):
        assert found.keys() == shown.keys(), where
        for key in shown:
            compare_forms(found[key], shown[key], f"{where}.{key}")
    elif isinstance(shown, list):
        if where.endswith(".errors"):
            found = found[: len(shown)]
        assert len(found) == len(shown), where
        for number, (one, other) in enumerate(zip(found, shown, strict=True)):
            compare_forms(one, other, f"{where}[{number}]")
    elif isinstance(shown, float):
        assert isinstance(found, float), where
    else:
        assert found == shown, where


def test_every_bound_is_told() -> None:
    assert column("Bounds") == list(REGRESSION_BOUNDS)


def test_every_way_to_hold_is_told() -> None:
    assert column("The same bytes again") == [held.value for held in Held]
