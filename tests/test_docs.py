"""What docs/cache.md and docs/graph.md show is what happens, and docs/formats.md is what backends declare."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildsys.engine.outcome.verdicts import Status
from buildsys.planner.catalog import Catalog, load_built_in
from buildsys.settings import UserSettings, read
from tests.cli.inside import Inside
from tests.space import Space

DOCS = Path(__file__).parents[1] / "docs"
CACHE = (DOCS / "cache.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", CACHE, flags=re.S)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command that is shown, and its output."""
    for block in blocks("console"):
        first, *output = block.splitlines()
        assert first.startswith("$ modelbuild ")
        yield first.removeprefix("$ modelbuild "), output


def shape(line: str) -> str:
    """A line without its figures and its spacing."""
    return re.sub(r"\s+", " ", re.sub(r"[\d.]+ ?([KMG]i)?B?", "#", line)).strip()


@pytest.fixture
def modelbuild(
    space: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Inside:
    return Inside(space, monkeypatch, capsys)


def test_the_settings_are_valid_and_all_there_are(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    (tmp_path / "config.toml").write_text(text)
    found = read({"MODELBUILD_CONFIG": str(tmp_path / "config.toml")})
    gib = 1 << 30
    assert found == UserSettings(20 * gib, 4, 8 * gib, 3600.0, 1, {"macos": 1})


def test_the_cache_commands_say_what_is_shown(modelbuild: Inside) -> None:
    modelbuild("build")
    shown = {command: output for command, output in commands() if command.startswith("cache")}
    assert len(shown) == 3
    for command, output in shown.items():
        said = modelbuild(*command.split())
        assert said.code == 0
        lines = said.out.splitlines()[: len(output)]
        skip = 1 if command == "cache status" else 0  # Its first line is the folder.
        assert [shape(s) for s in lines[skip:]] == [shape(s) for s in output[skip:]]


def test_the_folders_of_the_table_are_those_that_a_build_makes(modelbuild: Inside) -> None:
    modelbuild("build")
    told = {name.rstrip("/") for name in re.findall(r"^\| `([\w./]+)`", CACHE, flags=re.M)}
    made = {
        p.name for p in modelbuild.space.store.iterdir() if not p.name.endswith(("-wal", "-shm"))
    }
    assert made <= told | {"answers"}


def test_the_example_of_the_graph_runs(
    modelbuild: Inside, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "graph.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    found: dict[str, Any] = {}
    exec(code, found)
    graph = found["graph"]
    assert capsys.readouterr().out.count("\n") == 2
    assert found["stale"] == [n for n in graph if graph.nodes[n]["state"] != "maybe"]
    assert found["reference"] == "m#torch.reference"
    assert {graph.nodes[name]["rule"] for name in found["needed"]} == {"data.sample"}
    assert {"ios/m.onnx#verify.measure"} <= found["affected"]
    assert found["longest"][-1] in found["affected"]
    (_, node) = next(iter(graph.nodes(data=True)))
    told = re.findall(r"^\| `(\w+)` \|", text, flags=re.M)
    assert told == list(node)
    for command in re.findall(r"^\$ modelbuild ([^|#\n]+)", text, flags=re.M):
        arguments = [each for each in command.split() if each != "ios/classifier.onnx"]
        assert modelbuild(*arguments).code == 0


def writer(name: str) -> Any:
    """A script that writes a document."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_schemes_are_those_that_are_declared() -> None:
    quantization = writer("quantization")
    catalog = Catalog.load(load_built_in())
    text = quantization.FILE.read_text()
    assert text == quantization.document(text, catalog), "run `python docs/quantization.py`"
    emptied = quantization.PART.sub(lambda found: found[1] + found[3], text)
    assert emptied != text
    assert quantization.document(emptied, catalog) == text


def test_the_formats_are_those_that_are_declared() -> None:
    formats = writer("formats")
    catalog = Catalog.load(load_built_in())
    assert formats.FILE.read_text() == formats.document(catalog), "run `python docs/formats.py`"


def test_the_glossary_has_every_status_and_each_word_once() -> None:
    text = (DOCS / "glossary.md").read_text()
    words = re.findall(r"^\| `?([a-z][a-z ]*?)`? \|", text, flags=re.M)
    words = [word for word in words if word not in ("word", "status")]
    assert len(words) == len(set(words)) > 30
    assert words[-len(Status) :] == [str(each) for each in Status]
