"""docs/search.md, done: its recipe is built, and its commands say what it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.project import Project

TEXT = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
LABEL = "server/classifier.onnx-smallest"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S)


def shape(line: str) -> str:
    """A line without its figures, its spacing and its bars."""
    return re.sub(r"\s+", " ", re.sub(r"█+", "█", re.sub(r"\d[\d.,]*", "#", line))).strip()


def shown() -> Iterator[tuple[list[str], list[str]]]:
    """Each command, and what it says."""
    for block in blocks("console"):
        first, *output = block.splitlines()
        yield first.removeprefix("$ modelbuild ").split(), output


@pytest.mark.toolchain
def test_the_example_of_the_document_is_the_real_one(tmp_path: Path) -> None:
    project = Project.copy_of("digits", tmp_path)
    path = project.folder / "deploy.yaml"
    recipe = yaml.safe_load(path.read_text())
    (lines,) = blocks("yaml")
    for section, more in yaml.safe_load(lines).items():
        recipe[section] |= more
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    for command, output in shown():
        # As a wide terminal shows it: the document is no narrower.
        said = project.run(*command, environment={"COLUMNS": "110"})
        assert said.code == 0, said.stderr
        told = {shape(line) for line in (said.stdout + said.stderr).splitlines()}
        assert [line for line in output if shape(line) not in told] == []
    choice = yaml.safe_load((project.folder / "deploy.lock.yaml").read_text())["choices"][LABEL]
    assert choice["settings"] == {"scheme": "weight-only", "bits": 8, "per_channel": True}
    sizes = {c["name"]: c["bytes"] for c in choice["candidates"] if "bytes" in c}
    assert sizes["weight-only 4 bits"] < sizes["weight-only 8 bits"] < 0.3 * choice["float_bytes"]
    again = project.build("server", "--locked")
    assert (again.code, again.started(), again.statuses()) == (0, 0, {LABEL: "verified"})
