from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from buildsys.recipe import load
from buildsys.recipe.schema.json_schema import properties, schema
from tests.recipe.project import RIGHT, Project

EXAMPLE = Path(__file__).parents[3] / "deploy.yaml.example"


class EditorLoader(yaml.SafeLoader):
    """Reads `1e-4` as a number, as editors do."""


EditorLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[0-9]+e[-+]?[0-9]+"), list("0123456789")
)


def errors(text: str) -> list[str]:
    found = Draft7Validator(schema()).iter_errors(yaml.load(text, EditorLoader))
    return sorted("/".join(map(str, error.absolute_path)) for error in found)


def test_it_is_draft_07() -> None:
    whole = schema()
    Draft7Validator.check_schema(whole)
    assert whole["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "$defs" not in str(whole)
    assert "prefixItems" not in str(whole)


def test_the_example_is_right() -> None:
    assert errors(EXAMPLE.read_text(encoding="utf-8")) == []


def test_the_example_loads(project: Project) -> None:
    project.write("deploy.yaml", EXAMPLE.read_text(encoding="utf-8"))
    recipe = project.load()
    assert recipe.spec.release == "dev"
    assert sorted(recipe.spec.targets) == ["android", "ios"]
    assert recipe.warnings == ()


def test_the_example_loads_without_the_comments_in_front_of_optional_parts(
    project: Project,
) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in (
        ("# include: [common/acceptance.yaml]", "include: [common/acceptance.yaml]"),
        ("# toolchains:", "toolchains:"),
        ("#   onnx: {lock", "  onnx: {lock"),
        ("        # range: [0, 30521]", "        range: [0, 30521]"),
    ):
        assert old in text
        text = text.replace(old, new)
    project.write("deploy.yaml", text)
    project.write("common/acceptance.yaml", "acceptance: {other: {max_rel: 1}}\n")
    project.write("locks/onnx.txt", "")
    recipe = load(project.path, environ={"RELEASE": "2.0.0"})
    assert recipe.spec.release == "2.0.0" or recipe.spec.release is None
    assert recipe.spec.toolchains["onnx"].lock == "locks/onnx.txt"


def test_the_right_recipe_is_right() -> None:
    assert errors(RIGHT) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("count: 32", "count: many", ["models/classifier/samples/count"]),
        ("count: 32", "count: '${COUNT:-32}'", []),
        ("dtype: float32", "dtype: float31", ["models/classifier/inputs/image/dtype"]),
        ("dtype: float32", "dtype: '${DTYPE}'", []),
        ("version: 1", "version: 2", ["version"]),
        ("  ios:", "  iso:", ["targets"]),
        ("{format: onnx}", "{fromat: onnx}", ["targets/ios/1", "targets/ios/1"]),
        ("{format: onnx}", "{}", ["targets/ios/1"]),
        ("args:", "onnx: a.onnx\n      args:", ["models/classifier/source"]),
        ("{signal_error: 1e-4}", "{}", ["acceptance/close"]),
        ("  fp16:", "  f p:", ["quantization"]),
        ("project: digits", "project: digits\nx-any: [1]", []),
        ("project: digits", "project: digits\nother: 1", [""]),
        ("version: 1\n", "", [""]),
        ("version: 1\n", "include: [a.yaml]\n", []),
        ("[N, 1, 8, 8]", "[N, 0, 8, 8]", ["models/classifier/inputs/image/shape/1"]),
        ("source: data/train.npz", "source: {python: 'data:load'}", []),
        ("source: data/train.npz", "source: {python: data}", ["datasets/train/source"]),
    ],
)
def test_what_an_editor_marks(old: str, new: str, where: list[str]) -> None:
    assert RIGHT.count(old) == 1
    assert errors(RIGHT.replace(old, new)) == where


def test_every_field_is_described() -> None:
    missing = [path for path, part in _fields(schema()) if not part.get("description")]
    assert missing == []


def _fields(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from whole["properties"].items()
    for name, definition in whole["definitions"].items():
        for field, part in definition.get("properties", {}).items():
            yield f"{name}.{field}", part


def test_defaults_are_told() -> None:
    definitions = schema()["definitions"]
    assert definitions["Model"]["properties"]["capture"]["default"] == "trace"
    assert definitions["Calibration"]["properties"]["count"]["default"] == 128


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("targets", "ios", 0), "format"),
        (("models", "any", "environment"), "requirements"),
        (("models", "any", "inputs", "x", "dims", "N"), "min"),
        (("datasets", "any", "source"), "python"),
        (("quantization", "any", "calibration"), "dataset"),
        ((), "version"),
    ],
)
def test_known_keys_by_path(path: tuple[str | int, ...], expected: str) -> None:
    assert properties(path)[0] == expected


def test_no_keys_are_known_where_anything_goes() -> None:
    assert properties(("models", "any", "source", "args")) == []
