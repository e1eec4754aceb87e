"""What the planner knows about TorchServe."""

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


class TorchServeOptions(Options):
    """Options of a `torchserve` deployable.

    Attributes:
        workers: Processes that answer; each holds the model.
        threads: Threads that one request is computed with.
        response_timeout_s: Seconds after which TorchServe gives a request up, and its process too.
        nonfinite_inputs: Whether floats may be NaN or infinite, as the strings `NaN`, `Infinity` and
            `-Infinity`; otherwise such a request is refused.
    """

    workers: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=1, le=256)
    response_timeout_s: int = Field(default=120, ge=1, le=86400)
    nonfinite_inputs: bool = False


backend = Backend(
    name="torchserve",
    folder=FOLDER,
    formats=(
        Format(
            name="torchserve",
            suffix=".mar",
            options=TorchServeOptions,
            runtime=Runtime("torchserve"),
            metadata_writer=MetadataWriter("torchserve", "metadata:describe"),
            legacy="TorchServe is no longer maintained, and its repository is archived: "
            "`service` and `triton` are the formats for servers",
        ),
    ),
    rules=(
        Rule(
            name="torchserve.make",
            takes=("torchscript",),
            gives="torchserve",
            toolchain="torchserve",
            worker="worker:make",
            ships=("shipped", "../kit/serve/wire.py"),
            options=tuple(TorchServeOptions.model_fields),
            metadata=True,
        ),
    ),
    toolchains=(
        Toolchain(
            name="torchserve",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="TorchServe, its Java, and torch: makes .mar files, and serves them",
        ),
    ),
)
