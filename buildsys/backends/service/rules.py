"""What the planner knows about services."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from buildsys.backends.base import (
    Backend,
    Format,
    MetadataWriter,
    Options,
    Rule,
    Runtime,
)
from buildsys.backends.toolchain import Toolchain

FOLDER = Path(__file__).parent


class ServiceOptions(Options):
    """Options of a `service` deployable.

    Attributes:
        port: Where the service listens unless `PORT` or `--port` says otherwise.
        workers: Processes that answer; each holds the model.
        threads: Threads that one request is computed with.
        max_batch: The largest batch of a request; by default the greatest size of the batch's dim.
        max_body_mib: What a request may weigh, in MiB of JSON; a larger one is answered by 413.
        request_timeout_s: Seconds that a client may take to send a request unless `REQUEST_TIMEOUT` says
            otherwise; then it is answered by 408 and dropped.
        nonfinite_inputs: Whether floats may be NaN or infinite, as the strings `NaN`, `Infinity` and
            `-Infinity`; otherwise such a request is refused.
    """

    port: int = Field(default=8000, ge=1, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=1, le=256)
    max_batch: int | None = Field(default=None, ge=1)
    max_body_mib: int = Field(default=16, ge=1, le=1024)
    request_timeout_s: int = Field(default=60, ge=1, le=3600)
    nonfinite_inputs: bool = False


backend = Backend(
    name="service",
    folder=FOLDER,
    formats=(
        Format(
            name="service",
            suffix=".service",
            kind="tree",
            options=ServiceOptions,
            runtime=Runtime("service"),
            metadata_writer=MetadataWriter("service", "metadata:describe"),
        ),
    ),
    rules=(
        Rule(
            name="service.make",
            takes=("onnx",),
            gives="service",
            toolchain="service",
            worker="worker:make",
            options=tuple(ServiceOptions.model_fields),
            metadata=True,
            ships=("lock.txt", "app", "template", "../kit/serve/wire.py"),
        ),
    ),
    toolchains=(
        Toolchain(
            name="service",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="FastAPI, uvicorn and ONNX Runtime: makes services and runs them",
        ),
    ),
)
