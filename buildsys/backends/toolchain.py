"""The environments that steps run in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Toolchain:
    """A pinned environment.

    Attributes:
        name: For example `coreml`; unique over all backends.
        lock: The lock file: exact pins, with hashes where one build serves every machine.
        requirements: What `modelbuild toolchain lock` resolves into the lock.
        python: Minor versions of CPython the lock is valid for, best first.
        about: One line for `toolchain list`.
        node: A folder with `package.json` (exact versions) and `package-lock.json`, where the
            toolchain runs JavaScript: npm installs what they say into its `node_modules`, and
            Node.js is linked as its `bin/node`.
    """

    name: str
    lock: Path
    requirements: Path
    python: tuple[str, ...] = ("3.11",)
    about: str = ""
    node: Path | None = None
