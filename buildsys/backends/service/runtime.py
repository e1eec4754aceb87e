"""Starts a service on loopback and asks it over HTTP, as its users will."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.request import StepError
from ..kit.serve import wire
from ..kit.serve.server import LOOPBACK, Server

START_SECONDS = 180.0
LISTENING = re.compile(rf"^listening on http://{re.escape(LOOPBACK)}:(\d+)$", re.MULTILINE)
Arrays = dict[str, NDArray[Any]]


class Session:
    """A service that runs; see `kit.run.measurement.Session`."""

    def __init__(self, server: Server, folder: Path, scratch: Path, contract: Contract) -> None:
        uvicorn, onnxruntime = map(importlib.metadata.version, ("uvicorn", "onnxruntime"))
        self.runtime = f"uvicorn {uvicorn} with onnxruntime {onnxruntime}"
        self.port = server.port
        self.pid = server.pid
        self._server = server
        self._scratch = scratch
        self._contract = contract
        self._largest: int = json.loads((folder / "service.json").read_text())["max_body"]
        self._inputs = json.loads((folder / "io.json").read_text())["inputs"]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> Arrays:
        """Asks once, or more often where the batch is larger than the service takes.

        Raises:
            StepError: It does not take a request, or answers something else than outputs.
        """
        body = json.dumps({"inputs": {name: wire.encode(array) for name, array in feed.items()}})
        size = self._batch(feed)
        most = self._most()
        if size is not None and size > 1 and (size > most or len(body) > self._largest):
            middle = min(most, size // 2)
            parts = [
                {n: a[:middle] for n, a in feed.items()},
                {n: a[middle:] for n, a in feed.items()},
            ]
            return self._joined([self.run(part) for part in parts], middle)
        return self._ask(body.encode())

    def peak_rss(self) -> int:
        """The service's memory, not ours."""
        return self._server.peak_rss()

    def close(self) -> None:
        """Ends the service."""
        self._server.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _ask(self, body: bytes) -> Arrays:
        status, answer = self._server.ask("POST", "/predict", body)
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise StepError(
                f"a request of the least size weighs {len(body) / 2**20:.1f} MiB as JSON, and the service "
                f"takes {self._largest // 2**20}",
                "raise `max_body_mib`",
                "options.max_body_mib",
            )
        if status != HTTPStatus.OK:
            detail = json.loads(answer)["detail"]
            raise StepError(f"the service refuses a sample ({status}): {detail}", None, "samples")
        outputs = json.loads(answer)["outputs"]
        dtypes = {port.name: port.dtype for port in self._contract.outputs}
        return {name: wire.array_of(value, dtypes[name]) for name, value in outputs.items()}

    def _batch(self, feed: Mapping[str, NDArray[Any]]) -> int | None:
        """The batch, where it is an axis that all inputs begin with and that varies."""
        leading = {port["shape"][0] if port["shape"] else None for port in self._inputs}
        if len(leading) != 1 or not isinstance(leading.pop(), str):
            return None
        return len(next(iter(feed.values())))

    def _most(self) -> int:
        first = self._inputs[0]
        bounds = first["dims"].get(first["shape"][0]) if first["shape"] else None
        return bounds["max"] if bounds else sys.maxsize

    def _joined(self, parts: list[Arrays], size: int) -> Arrays:
        symbol = self._inputs[0]["shape"][0]
        joined = {}
        for port in self._contract.outputs:
            if symbol not in port.shape:
                raise StepError(
                    f"output `{port.name}` has no batch axis, and the batch must be split to be verified",
                    "raise `max_batch` or `max_body_mib`",
                    "options",
                )
            axis = port.shape.index(symbol)
            joined[port.name] = np.concatenate([part[port.name] for part in parts], axis)
        return joined


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Starts a service in an environment of its own pins; the number of threads is its own affair.

    Raises:
        StepError: It does not start.
    """
    scratch = Path(tempfile.mkdtemp(prefix="service-"))
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "TMPDIR": str(scratch),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-s", "-m", "app", "--host", LOOPBACK, "--port", "0"]
    server = Server(command, path, scratch / "log.txt", environ)

    def ready() -> bool:
        found = LISTENING.search(server.said())
        if found is None:
            return False
        server.port = int(found[1])
        return server.answers("/health")

    server.wait(ready, START_SECONDS, "the service")
    return Session(server, path, scratch, contract)
