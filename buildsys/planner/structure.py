"""What makes two actions the same step, so that deployables share it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from buildsys.planner.drafts import Draft
from buildsys.planner.graph import FileInput, Input

_OF_THE_MODEL = ("ports", "outputs", "source")
"""Options that all steps of a model have in common, as the very same objects."""

_encode = json.JSONEncoder(sort_keys=True, check_circular=False).encode


class Structures:
    """Digests of steps. One for each graph: what is the model's own is written as JSON only once."""

    def __init__(self) -> None:
        # The object is kept beside its digest, so that nothing else can come to have its id.
        self._digests: dict[int, tuple[Any, str]] = {}

    def digest(self, draft: Draft, inputs: Mapping[str, Input]) -> bytes:
        """The digest of a step whose inputs are in the graph; equal steps are one action."""
        record = [
            draft.rule,
            draft.worker.function,
            draft.environment,
            [
                [n, str(i.path)] if isinstance(i, FileInput) else [n, i.action, i.output]
                for n, i in sorted(inputs.items())
            ],
            {n: v if n not in _OF_THE_MODEL else self._short(v) for n, v in draft.options.items()},
            [[o.name, o.filename, o.kind] for o in draft.outputs],
        ]
        return hashlib.sha256(_encode(record).encode()).digest()

    def _short(self, value: Any) -> str:
        """The digest of a value."""
        found = self._digests.get(id(value))
        if found is None:
            found = value, hashlib.sha256(_encode(value).encode()).hexdigest()
            self._digests[id(value)] = found
        return found[1]
