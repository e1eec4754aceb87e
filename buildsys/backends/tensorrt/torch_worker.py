"""Compiles an exported program into one whose operators are TensorRT's engines.

Never run on a GPU by its authors. The calls were checked against the source of Torch-TensorRT 2.13.
"""

from __future__ import annotations

import operator
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import torch_tensorrt
from torch.export.passes import move_to_device_pass

from ..kit.export.survey import capture_sizes
from ..kit.protocol import ports as ports_of
from ..kit.protocol.contract import Contract
from ..kit.protocol.request import Request, StepError
from . import identity, torch_runtime
from .profiles import Span, spans
from .torch_runtime import DEVICE

MIB = 2**20
ENGINE = "_run_on_acc"
"""What Torch-TensorRT's partitioner puts into the name of each part that becomes an engine."""
WAY_OUT = "write it with other operators, or use `tensorrt`, which takes the model by ONNX"


def build(request: Request) -> None:
    """Makes a program of engines of an ExportedProgram.

    Inputs: `artifact` (ExportedProgram), `io`. Options: `ports`, `machine`, `format` (`precision`,
    `optimize_for`, `workspace_mib`, `builder_optimization_level`).

    Raises:
        StepError: No operator has a counterpart, the GPU is another one than the key says, or the
            program does not run.
    """
    options = request.options["format"]
    contract = Contract.read(request.inputs["io"])
    torch_runtime.check_gpu()
    found = torch.cuda.get_device_properties(identity.FIRST)
    identity.check(request.options["machine"], found.name, f"{found.major}.{found.minor}")
    ports = request.options["ports"]
    sizes = _best(request)
    feed = ports_of.random_feed(ports, sizes, seed=0)
    example = tuple(torch.from_numpy(feed[port["name"]]) for port in ports)
    dims = _dims(contract, ports)
    program = _program(request.inputs["artifact"], example, dims)
    shapes = spans(contract, ports, sizes)
    compiled = _compiled(program, contract, shapes, options, request.scratch)
    _note(request, compiled, options["precision"])
    _save(compiled, tuple(tensor.to(DEVICE) for tensor in example), dims, request)
    contract.write(request.outputs["io"])
    session = torch_runtime.load(request.outputs["artifact"], contract, request.threads)
    session.run(ports_of.random_feed(ports, ports_of.example_sizes(ports), seed=0))


def _best(request: Request) -> dict[str, int]:
    """The sizes to be fastest at, which are those that the program is exported at."""
    ports, wanted = request.options["ports"], request.options["format"]["optimize_for"]
    sizes = ports_of.example_sizes(ports) | wanted
    at = [
        port | {"dims": {s: dim | {"example": sizes[s]} for s, dim in port["dims"].items()}}
        for port in ports
    ]
    best = capture_sizes(at, dynamic=True)
    for symbol, size in best.items():
        if size != sizes[symbol]:
            request.note(
                f"engines are fastest at a size of {size} of `{symbol}`, not of {sizes[symbol]}: "
                "torch takes smaller sizes for constants"
            )
    return best


def _dims(contract: Contract, ports: list[dict[str, Any]]) -> tuple[dict[int, Any], ...] | None:
    """What varies of each input, by axis; `None` where nothing does."""
    dims = {
        symbol: torch.export.Dim(symbol, min=dim["min"], max=dim["max"])
        for symbol, dim in ports_of.symbols(ports).items()
    }
    if not dims:
        return None
    return tuple(
        {axis: dims[size] for axis, size in enumerate(port.shape) if size in dims}
        for port in contract.inputs
    )


def _program(source: Path, example: tuple[Any, ...], dims: Any) -> Any:
    """The program on the GPU, exported again at the sizes that engines are to be fastest at.

    Torch-TensorRT takes the profiles of its engines from the program's own sizes, not from the
    inputs that it is given: smallest and largest are their ranges, the best is what they were when
    the program was exported.
    """
    with source.open("rb") as stream:  # torch wants the suffix `.pt2` on paths.
        program = torch.export.load(stream)
    if dims is not None:
        try:
            program = torch.export.export(program.module(), example, dynamic_shapes=dims)
        except Exception as error:
            raise StepError(
                f"the program is not exported at the sizes to be fastest at: {_head(error)}",
                "name other sizes in `optimize_for`, or narrow `dims`",
                "options.optimize_for",
            ) from error
    return move_to_device_pass(program, DEVICE)


def _compiled(
    program: Any,
    contract: Contract,
    shapes: dict[str, Span],
    options: dict[str, Any],
    scratch: Path,
) -> Any:
    half = options["precision"] == "fp16"
    try:
        return torch_tensorrt.dynamo.compile(
            program,
            arg_inputs=[_input(shapes[port.name], port.dtype) for port in contract.inputs],
            device=torch.device(DEVICE),
            disable_tf32=options["precision"] != "tf32",  # It is on by default, and not float32.
            enable_autocast=half,
            autocast_low_precision_type=torch.float16 if half else None,
            workspace_size=options["workspace_mib"] * MIB,
            optimization_level=options["builder_optimization_level"],
            min_block_size=1,  # The default leaves parts of less than five operators in torch.
            # By default one of all users and builds, which would decide what this one chooses.
            timing_cache_path=str(scratch / "timing" / "cache.bin"),
        )
    except Exception as error:
        raise StepError(
            f"Torch-TensorRT {torch_tensorrt.__version__} does not compile the program: "
            f"{_head(error)}",
            WAY_OUT,
            "format",
        ) from error


def _input(span: Span, dtype: str) -> Any:
    kind = getattr(torch, dtype)
    if span.least == span.most:
        return torch_tensorrt.Input(shape=span.best, dtype=kind)
    return torch_tensorrt.Input(
        min_shape=span.least, opt_shape=span.best, max_shape=span.most, dtype=kind
    )


def _note(request: Request, compiled: Any, precision: str) -> None:
    """Says where the program runs, and what of it stays in torch.

    Raises:
        StepError: All of it does.
    """
    engines, rest = _parts(compiled)
    named = ", ".join(f"`{name}` ({count})" for name, count in sorted(rest.items()))
    if not engines:
        raise StepError(
            f"Torch-TensorRT {torch_tensorrt.__version__} takes no operator of the model: "
            f"{named or 'it has none'}",
            WAY_OUT,
            "format",
        )
    machine = identity.described(request.options["machine"])
    request.note(
        f"the program runs on {machine} with torch {torch.__version__} and Torch-TensorRT "
        f"{torch_tensorrt.__version__} alone"
    )
    if rest:
        request.note(f"these operators stay in torch, on the GPU: {named}")
    if precision == "tf32":
        request.note("engines round products to 10 bits (TF32)")
    elif precision == "fp16":
        request.note("engines compute in float16, but for operators that are not safe to by rule")


def _parts(compiled: Any) -> tuple[int, Counter[str]]:
    """The number of engines, and how often torch still runs which operator."""
    children = dict(compiled.named_children())
    engines = [name for name in children if ENGINE in name]
    graphs = [compiled, *(children[n] for n in children if n not in engines)]
    rest = Counter(
        str(node.target)
        for part in graphs
        if isinstance(part, torch.fx.GraphModule)
        for node in part.graph.nodes
        if node.op in ("call_function", "call_method") and node.target is not operator.getitem
    )
    return len(engines), rest


def _save(compiled: Any, example: tuple[Any, ...], dims: Any, request: Request) -> None:
    try:
        torch_tensorrt.save(
            compiled,
            str(request.outputs["artifact"]),
            output_format="exported_program",
            arg_inputs=example,
            # From the inputs alone it makes sizes of each input that no others are equal to.
            dynamic_shapes=dims,
        )
    except Exception as error:
        raise StepError(
            f"Torch-TensorRT {torch_tensorrt.__version__} does not write the program: "
            f"{_head(error)}",
            WAY_OUT,
            "format",
        ) from error


def _head(error: Exception) -> str:
    """An error's first lines in one."""
    return " ".join(str(error).split())[:400] or type(error).__name__
