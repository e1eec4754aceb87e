"""What the service was made with: `service.json` and `io.json` beside the package."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent
TIMEOUT = "REQUEST_TIMEOUT"


class Unusable(Exception):
    """The service cannot start; says which file or variable is to blame."""


@dataclass(frozen=True)
class Settings:
    """The recipe's options.

    Attributes:
        port: Where it listens by default.
        workers: Processes that answer.
        threads: Threads of one process's inference.
        max_body: Bytes that a request may weigh.
        request_timeout: Seconds that a client may take to send a request; the variable
            `REQUEST_TIMEOUT` says otherwise.
        nonfinite: Whether inputs may be NaN or infinite.
    """

    port: int
    workers: int
    threads: int
    max_body: int
    request_timeout: float
    nonfinite: bool

    @classmethod
    def read(cls) -> Settings:
        """Reads `service.json` and the environment.

        Raises:
            Unusable: The file is missing or unreadable, or the variable holds no time.
        """
        record = _read("service.json")
        if TIMEOUT in os.environ:
            record["request_timeout"] = _seconds(os.environ[TIMEOUT])
        return cls(**record)


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
        """Reads `io.json`.

        Raises:
            Unusable: The file is missing or unreadable.
        """
        record = _read("io.json")
        return cls(record["model"], record["inputs"], record["outputs"])


def _read(name: str) -> Any:
    path = FOLDER / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise Unusable(f"{path} is not JSON: {error}") from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise Unusable(f"{TIMEOUT} must be a number of seconds above 0, and is {text!r}")
    return seconds
