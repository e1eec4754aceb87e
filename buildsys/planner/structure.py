"""What makes two actions the same step, so that deployables share it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from buildsys.backends.base import Output
from buildsys.planner.graph import FileInput, Input, Worker

_OF_THE_MODEL = ("ports", "outputs", "source")
"""Options that all steps of a model have in common, as the very same objects."""

_encode = json.JSONEncoder(sort_keys=True).encode


class Structures:
    """Digests of steps. One for each graph: what is the model's own is written as JSON only once."""

    def __init__(self) -> None:
        # The object is kept beside its text, so that nothing else can come to have its id.
        self._texts: dict[int, tuple[Any, str]] = {}

    def digest(
        self,
        rule: str,
        worker: Worker,
        environment: str | None,
        inputs: Mapping[str, Input],
        options: Mapping[str, Any],
        outputs: tuple[Output, ...],
    ) -> bytes:
        """The digest of a step; equal steps are one action."""
        record = [
            rule,
            worker.function,
            environment,
            [
                [n, str(i.path)] if isinstance(i, FileInput) else [n, i.action, i.output]
                for n, i in sorted(inputs.items())
            ],
            {n: v if n not in _OF_THE_MODEL else self._text(v) for n, v in options.items()},
            [[o.name, o.filename, o.kind] for o in outputs],
        ]
        return hashlib.sha256(_encode(record).encode()).digest()

    def _text(self, value: Any) -> str:
        found = self._texts.get(id(value))
        if found is None:
            found = value, _encode(value)
            self._texts[id(value)] = found
        return found[1]
