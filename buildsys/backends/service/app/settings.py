"""What the service was made with: `service.json` and `io.json` beside the package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """The recipe's options.

    Attributes:
        port: Where it listens unless it is told otherwise.
        workers: Processes that answer.
        threads: Threads of one process's inference.
        max_body: Bytes that a request may weigh.
        nonfinite: Whether inputs may be NaN or infinite.
    """

    port: int
    workers: int
    threads: int
    max_body: int
    nonfinite: bool

    @classmethod
    def read(cls) -> Settings:
        """Reads `service.json`."""
        return cls(**_read("service.json"))


@dataclass(frozen=True)
class Interface:
    """The io contract, and which model it is.

    Attributes:
        model: `name`, `release` (or `None`) and `sha256`, as every answer tells them.
        inputs: In the model's order; see `wire.decode`.
        outputs: In the model's order.
    """

    model: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]

    @classmethod
    def read(cls) -> Interface:
        """Reads `io.json`."""
        record = _read("io.json")
        return cls(record["model"], record["inputs"], record["outputs"])


def _read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))
