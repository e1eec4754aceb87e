"""What the planner knows about Triton's model repositories."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from buildsys.backends.base import Backend, Check, Format, Options, Rule
from buildsys.backends.toolchain import Toolchain

FOLDER = Path(__file__).parent


class TritonOptions(Options):
    """Options of a `triton` deployable.

    Attributes:
        max_batch_size: The largest batch that Triton makes of requests; 0 has it leave the batch to
            the clients. By default the greatest size of the batch's dim, where all inputs and outputs
            begin with that dim and it may be 1; otherwise 0.
        instance_count: How many copies of the model run at a time; on GPUs, on each.
        kind: Where they run; `auto` lets Triton choose.
        dynamic_batching: Whether Triton joins requests that wait.
        preferred_batch_sizes: Batches that it tries to make then.
        max_queue_delay_us: How many microseconds a request may wait for others then.
    """

    max_batch_size: int | None = Field(default=None, ge=0, le=2**31 - 1)
    instance_count: int = Field(default=1, ge=1, le=1024)
    kind: Literal["auto", "cpu", "gpu"] = "auto"
    dynamic_batching: bool = False
    preferred_batch_sizes: tuple[int, ...] = Field(default=(), strict=False)
    max_queue_delay_us: int = Field(default=0, ge=0)

    @field_validator("preferred_batch_sizes", "max_queue_delay_us")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        """What only dynamic batching reads needs it.

        Raises:
            ValueError: It is off.
        """
        if value and not info.data.get("dynamic_batching"):
            raise ValueError("it means nothing without `dynamic_batching: true`")
        return value


def _make(takes: str, cost: float, worker: str = "worker", toolchain: str = "triton") -> Rule:
    return Rule(
        name="triton.make",
        takes=(takes,),
        gives="triton",
        toolchain=toolchain,
        worker=f"{worker}:make_{takes}",
        route=takes,
        cost=cost,
        options=tuple(TritonOptions.model_fields),
        metadata=True,
    )


backend = Backend(
    name="triton",
    folder=FOLDER,
    formats=(
        Format(
            name="triton",
            suffix=".triton",
            kind="tree",
            options=TritonOptions,
            unverified="Triton itself is not run here",
            check=Check("triton", "check:check"),
        ),
    ),
    rules=(
        _make("onnx", 1.0),
        # Where a trace is there already it would else be nearer than ONNX is.
        _make("torchscript", 6.0, "torchscript_worker", "torch"),
        _make("openvino", 6.0),
        _make("tensorrt", 6.0),
    ),
    toolchains=(
        Toolchain(
            name="triton",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="Triton's own protobuf and onnx: checks model repositories",
        ),
    ),
)
