"""A place where a deployable goes wrong, as `verify --locate` finds one."""

from __future__ import annotations

from typing import Any

from buildsys.figures.json_form import read
from buildsys.figures.location import JudgedLocation

WRONG: dict[str, Any] = {
    "label": "ios/text.coreml-fp16",
    "format": "coreml",
    "scheme": None,
    "found": True,
    "kind": "op",
    "in_words": None,
    "operation": {"number": 8, "type": "mul", "name": "value_8"},
    "module": "embeddings",
    "source": {"file": "model.py", "line": 42, "text": "mask = (1 - mask) * MIN <b>"},
    "reference_op": "aten::mul",
    "error": 0.5,
    "before": 1e-4,
    "gradual": False,
    "overflow": None,
    "cure": None,
    "explanation": None,
    "tolerance": 0.02,
    "outputs": {"logits": {"error": 0.4, "shipped": 0.4}},
    "largest_step": None,
    "runtime": "evaluator",
    "reference_runtime": "torch",
    "notes": [],
    "table": [],
}


def located(**more: Any) -> JudgedLocation:
    """A location with some fields as JSON has them, and all others as `WRONG` has them."""
    return read(JudgedLocation, WRONG | more)
