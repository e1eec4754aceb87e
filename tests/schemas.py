"""Real output against the schemas in `docs/schemas/`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"


@cache
def _validator(form: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((FOLDER / f"{form}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def faults(form: str, record: Any) -> list[str]:
    """What in a record is not as the schema says: a field that it lacks, or a value of another kind."""
    found = (
        jsonschema.exceptions.best_match([each]) for each in _validator(form).iter_errors(record)
    )
    return [f"{each.json_path}: {each.message[:300]}" for each in found if each is not None]


def check(form: str, record: Any) -> None:
    """Asserts that a record is as the schema says."""
    assert faults(form, record) == []
