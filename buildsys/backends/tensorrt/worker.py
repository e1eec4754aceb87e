"""Builds an engine for the GPU of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorrt as trt

from ..kit.protocol import ports as ports_of
from ..kit.protocol.contract import Contract
from ..kit.protocol.request import Request, StepError
from . import device, identity, runtime
from .failures import described
from .log import Log
from .profiles import Span, spans

MIB = 2**20
WAY_OUT = "write it with other operators, or run `onnx` in ONNX Runtime on that GPU"


def build(request: Request) -> None:
    """Makes an engine of an ONNX model.

    Inputs: `artifact` (ONNX), `io`. Options: `ports`, `outputs`, `machine`, `format` (`precision`,
    `optimize_for`, `workspace_mib`, `builder_optimization_level`).

    Raises:
        StepError: An operator has no counterpart, the GPU is another one than the key says, or the
            engine does not run.
    """
    options = request.options["format"]
    contract = Contract.read(request.inputs["io"])
    shapes = spans(contract, request.options["ports"], options["optimize_for"])
    device.check(request.options["machine"])
    log = Log()
    builder = trt.Builder(log)
    network = _parsed(builder, request.inputs["artifact"], log)
    _check_names(network, contract)
    config = _config(builder, network, shapes, options)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise StepError(
            f"TensorRT {trt.__version__} builds no engine: {log.told()}",
            "give it more `workspace_mib`, or narrower `dims`",
            "options",
        )
    request.outputs["artifact"].write_bytes(bytes(engine))
    _note(request, options["precision"])
    contract.write(request.outputs["io"])
    session = runtime.load(request.outputs["artifact"], contract, request.threads)
    ports = request.options["ports"]
    session.run(ports_of.random_feed(ports, ports_of.example_sizes(ports), seed=0))


def _parsed(builder: Any, source: Path, log: Log) -> Any:
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if parser.parse_from_file(str(source)):
        return network
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    told = [described(e.node_operator(), e.node_name(), e.desc()) for e in errors]
    raise StepError(
        f"TensorRT {trt.__version__} does not take the model: {'; '.join(told[:3]) or log.told()}",
        WAY_OUT,
        "format",
    )


def _check_names(network: Any, contract: Contract) -> None:
    for what, have, ports in (
        (
            "inputs",
            [network.get_input(i).name for i in range(network.num_inputs)],
            contract.inputs,
        ),
        (
            "outputs",
            [network.get_output(i).name for i in range(network.num_outputs)],
            contract.outputs,
        ),
    ):
        wanted = [port.artifact_name or port.name for port in ports]
        if sorted(have) != sorted(wanted):
            raise StepError(
                f"TensorRT changed the {what}: {', '.join(have)} instead of {', '.join(wanted)}",
                "an input that nothing uses is dropped: leave it out of the recipe",
                what,
            )


def _config(builder: Any, network: Any, shapes: dict[str, Span], options: dict[str, Any]) -> Any:
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options["workspace_mib"] * MIB)
    config.builder_optimization_level = options["builder_optimization_level"]
    if options["precision"] == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)  # It is on by default, and not float32.
    elif options["precision"] == "fp16":
        config.set_flag(trt.BuilderFlag.FP16)
    profile = builder.create_optimization_profile()
    varying = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 not in tuple(tensor.shape):
            continue
        if tensor.is_shape_tensor:
            raise StepError(
                f"TensorRT takes the values of `{tensor.name}` for a shape",
                "give the model the shape by the size of an input instead",
                "inputs",
            )
        span = shapes[tensor.name]
        profile.set_shape(tensor.name, span.least, span.best, span.most)
        varying = True
    if varying and config.add_optimization_profile(profile) < 0:
        raise StepError("TensorRT refuses the ranges of sizes", "narrow `dims`", "inputs")
    return config


def _note(request: Request, precision: str) -> None:
    machine = identity.described(request.options["machine"])
    request.note(f"the engine runs on {machine} with TensorRT {trt.__version__} alone")
    if precision == "tf32":
        request.note("products are rounded to 10 bits (TF32)")
    elif precision == "fp16":
        request.note("layers compute in float16 where TensorRT finds it faster")
