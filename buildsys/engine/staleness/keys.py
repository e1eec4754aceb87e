"""Action keys: the digest of all that decides an action's output.

A key is the digest of a *manifest*, a small canonical JSON record. The same record is kept with the
trace and compared to say why an action is stale, so the explanation cannot disagree with the key.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

from buildsys.planner.graph import Action

KEY_VERSION = 2
NUMPY = re.compile(r"numpy-([\w.+!]+)\.dist-info")
"""The folder with numpy's metadata, which has its version in its name."""

Manifest = dict[str, Any]


def canonical(record: Any) -> bytes:
    """JSON with sorted keys and no spaces; equal records give equal bytes."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(record: Any) -> str:
    """The sha256 of a record's canonical bytes, in hexadecimal."""
    return digest_of(canonical(record))


def digest_of(text: bytes) -> str:
    """The sha256 of canonical bytes, in hexadecimal."""
    return hashlib.sha256(text).hexdigest()


def shape(action: Action, implementation: str) -> str:
    """The digest of what is known of an action before its inputs and its toolchain are.

    No trace of this shape means that the action cannot be a hit, whatever its inputs turn out to be.
    """
    return digest([action.rule, action.worker.function, implementation, action.options])


def manifest(
    action: Action,
    implementation: str,
    fingerprint: str | None,
    inputs: Mapping[str, str | None],
    discovered: Mapping[str, str] | None,
    files: Mapping[str, str] | None = None,
) -> Manifest:
    """Everything that decides the outputs.

    Args:
        action: The node.
        implementation: Digest of the worker's own source.
        fingerprint: What is installed in its toolchain.
        inputs: Digest by input name; `None` for a file that does not exist.
        discovered: What the model's own code read, path to digest; `None` for the static part.
        files: What the recipe says that it reads, path to digest; `None` where it does not say.
    """
    record: Manifest = {
        "record": "action",
        "version": KEY_VERSION,
        "rule": action.rule,
        "worker": action.worker.function,
        "implementation": implementation,
        "options": action.options,
        "inputs": dict(inputs),
        "outputs": {o.name: [o.filename, o.kind] for o in action.outputs},
    }
    if action.environment is not None:
        record["toolchain"] = {"name": _environment_name(action), "fingerprint": fingerprint}
    else:
        record["toolchain"] = {"name": "coordinator", "fingerprint": f"numpy {_numpy_version()}"}
    if files is not None:
        record["files"] = dict(files)
    if discovered is not None:
        record["discovered"] = dict(discovered)
    return record


@cache
def _numpy_version() -> str:
    # From a name beside it: importing numpy, or what reads metadata, would cost a plan more than all else.
    for folder in sys.path:
        with suppress(OSError):
            for name in os.listdir(folder or os.curdir):
                if found := NUMPY.fullmatch(name):
                    return found[1]
    import importlib.metadata

    return importlib.metadata.version("numpy")


def _environment_name(action: Action) -> str:
    # A requirements file is known by what it installed, not by where it lies.
    return (action.environment or "").partition(":")[0]


@dataclass(frozen=True)
class Change:
    """One field of a manifest that differs.

    Attributes:
        field: For example `inputs.checkpoint` or `options.format.opset`.
        before: Its earlier value, or `None` where it was not there.
        after: Its value now, or `None` where it is gone.
    """

    field: str
    before: Any
    after: Any

    def to_json(self) -> dict[str, Any]:
        """The form of `plan --json`."""
        return {"field": self.field, "before": self.before, "after": self.after}


def changes(before: Manifest, after: Manifest) -> list[Change]:
    """The fields in which two manifests differ, in the order of their names."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return [
        Change(".".join(name), old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for name in value:
            yield from _flat(value[name], (*path, str(name)))
    elif isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        for number, item in enumerate(value):
            yield from _flat(item, (*path, str(item.get("name", number))))
    else:
        yield path, value
