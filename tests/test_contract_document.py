"""What docs/contract.md shows is what happens."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import fields
from pathlib import Path

from buildsys.backends.kit.protocol.contract import Port
from buildsys.planner.catalog import Catalog, load_built_in
from buildsys.report.record import report
from tests.recipe.project import RIGHT, Project
from tests.space import Space

TEXT = (Path(__file__).parents[1] / "docs" / "contract.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S)


def column(title: str) -> list[str]:
    """The names in the first column of a section's table."""
    section = TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", section, flags=re.M)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_the_recipe_is_right(tmp_path: Path) -> None:
    (shown,) = blocks("yaml")
    inner = shown.split("classifier:\n")[1]
    head, _, rest = RIGHT.partition("    inputs:\n")
    project = Project(tmp_path)
    project.write("deploy.yaml", head + inner + "    samples" + rest.partition("    samples")[2])
    model = project.load().spec.models["classifier"]
    assert model.outputs["logits"].labels == ("cat", "dog")
    assert model.inputs["image"].preprocess is not None


def test_every_field_of_a_port_is_told() -> None:
    assert sorted(column("A port")) == sorted(field.name for field in fields(Port))


def test_every_format_that_carries_a_contract_is_told() -> None:
    formats = Catalog.load(load_built_in()).formats.values()
    assert sorted(column("Where it is carried")) == sorted(
        f.name for f in formats if f.metadata_writer
    )


def test_the_report_says_what_is_shown(space: Space) -> None:
    space.edit("deploy.yaml", "outputs: {y: {}}", "outputs: {y: {labels: [cat, dog]}}")
    (command,) = blocks("console")
    assert command == "$ modelbuild build ios/m.onnx\n"
    told = report(space.build("ios/m.onnx"))
    (shown,) = blocks("json")
    assert told["deployables"][0]["io"]["outputs"] == [json.loads(textwrap.dedent(shown))]
