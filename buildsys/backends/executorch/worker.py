"""An exported program to a .pte file, which is loaded and run before it is given out."""

from __future__ import annotations

import logging
import sys
import time
import traceback
import warnings
from functools import partial
from typing import Any

warnings.filterwarnings("ignore", category=FutureWarning, module=r"copyreg|torch(\.|$)")
logging.getLogger("torchao").setLevel(logging.ERROR)  # It looks for CUDA kernels, and says so.

import torch  # noqa: E402

from ..kit.export.modules import module_of  # noqa: E402
from ..kit.export.survey import capture_sizes  # noqa: E402
from ..kit.protocol import ports  # noqa: E402
from ..kit.protocol.contract import Contract  # noqa: E402
from ..kit.protocol.request import Request, StepError  # noqa: E402
from . import program, quantizing  # noqa: E402
from .delegates import Coreml, Portable, Xnnpack  # noqa: E402
from .failures import operator_of  # noqa: E402
from .file import File  # noqa: E402
from .quantizing import Quantized  # noqa: E402

PRELOAD = {
    "convert": (
        "numpy.random",
        "torch.export._trace",
        "torch._higher_order_ops.passes.inline_invoke_subgraph",
        "sympy.tensor.tensor",
        "executorch.extension.flat_tensor.serialize.serialize",
    )
}
"""What each step imports late; see `toolchains/inside/forks.py`."""
DELEGATES = {"xnnpack": Xnnpack, "portable": Portable, "coreml": Coreml}
MOST_BYTES = 2 * 2**30
"""What a file may claim for activations: a 32-bit phone can give no more."""
WORTH_A_WORD = 16 * 2**20
MOST_SECONDS = 10.0
"""A size at which one run is likely to take longer is not tried here."""
LARGEST_ERROR = 0.01
"""Of an output's largest value."""
LARGEST_STEPS = 0.1
"""The same, of quantized files: a number half-way between two integers may fall either way."""
OTHER_FORMATS = "`torchscript` has all of PyTorch's operators, `onnx` and `tflite` have others"


def convert(request: Request) -> None:
    """Makes a .pte file that takes and gives tensors in the recipe's order; the file has no names.

    Inputs: `artifact` (an ExportedProgram), `io`. Options: `ports`, `outputs`, `format.backend`.

    Raises:
        StepError: ExecuTorch lacks an operator, the memory for the largest sizes is out of reach,
            or the file does not load and run.
    """
    torch.set_num_threads(request.threads)
    torch.manual_seed(0)
    source = request.inputs["artifact"]
    contract = Contract.read(request.inputs["io"])
    backend = request.options["format"]["backend"]
    delegate = DELEGATES[backend](request)
    quantized = None
    try:
        if request.options.get("quantization") is not None:
            quantized = quantizing.quantize(request, contract, source)
        again = quantized.export if quantized is not None else partial(program.load, source)
        made = program.lower(again, delegate, request.options["ports"])
    except StepError:
        raise
    except Exception as error:
        # Whatever ExecuTorch raises is about this model; the log keeps the whole trace.
        traceback.print_exc(file=sys.stderr)
        raise _explain(error, source, backend) from error
    _note_sizes(request, made)
    _note_rest(request, made, delegate)
    target = request.outputs["artifact"]
    target.write_bytes(made.data)
    if backend != "coreml":
        _check_operators(made, source)
        _try(request, contract, quantized)
    contract.write(request.outputs["io"])


def _note_sizes(request: Request, made: program.Lowered) -> None:
    """Says what dynamic sizes cost: memory is planned for the largest."""
    varying = ports.symbols(request.options["ports"])
    if not varying:
        return
    if made.planned < WORTH_A_WORD:
        return
    largest = ", ".join(f"{symbol}={dim['max']}" for symbol, dim in varying.items())
    if made.planned > MOST_BYTES:
        raise StepError(
            f"the file would claim {made.planned / 2**30:.1f} GiB when it is loaded: "
            f"ExecuTorch plans memory for the largest sizes, {largest}",
            "lower `max` to what the app needs",
            "inputs",
        )
    request.note(
        f"memory for the largest sizes ({largest}) is claimed when the file is loaded: "
        f"{made.planned / 2**20:.0f} MiB beside the weights and the delegates' own"
    )


def _note_rest(request: Request, made: program.Lowered, delegate: Any) -> None:
    """Says which operators are left to the portable kernels, and what a delegate changes."""
    if delegate.name is None:
        return
    if delegate.advice:
        request.note(delegate.advice)
    if made.delegated == 0:
        request.note(
            f"{delegate.name} takes nothing of this model: the portable kernels run it all"
        )
    elif made.rest:
        listed = ", ".join(f"{name} ({count})" for name, count in made.rest.most_common())
        request.note(f"{delegate.name} leaves to the portable kernels, which are slower: {listed}")


def _check_operators(made: program.Lowered, source: Any) -> None:
    missing = sorted(made.operators - File.operators())
    if missing:
        raise _missing(missing[0], source)


def _try(request: Request, contract: Contract, quantized: Quantized | None) -> None:
    """Loads the file and runs it at the captured sizes, at others and at the largest.

    It has to give what the program gives; a quantized one what PyTorch makes of the same integers.

    Raises:
        StepError: It does not load or run, or gives something else than the program.
    """
    declared = request.options["ports"]
    model = (
        quantized.module
        if quantized is not None
        else program.load(request.inputs["artifact"]).module()
    )
    error = LARGEST_ERROR if quantized is None else LARGEST_STEPS
    file = File(request.outputs["artifact"].read_bytes(), request.threads)
    sizes = capture_sizes(declared, dynamic=True)
    started = time.perf_counter()
    _compare(file, model, _feed(contract, declared, sizes), sizes, error)
    seconds = time.perf_counter() - started
    for symbol, dim in ports.symbols(declared).items():
        for size in (*ports.other_sizes(dim, sizes[symbol])[:3], dim["max"]):
            others = {**sizes, symbol: size}
            if seconds * size / sizes[symbol] > MOST_SECONDS:
                continue
            given = _feed(contract, declared, others)
            try:
                program.run(model, given)
            except Exception:  # noqa: S112  # Not every model takes every size in between.
                continue
            _compare(file, model, given, others, error)


def _feed(
    contract: Contract, declared: list[dict[str, Any]], sizes: ports.Sizes
) -> list[torch.Tensor]:
    feed = ports.random_feed(declared, sizes, seed=0)
    return [torch.from_numpy(feed[port.name]) for port in contract.inputs]


def _compare(
    file: File, model: Any, given: list[torch.Tensor], sizes: ports.Sizes, allowed: float
) -> None:
    """Gates judge precision; here a wrong size, order or decision of the compiler is to show."""
    found, wanted = file.run(given), program.run(model, given)
    told = [(list(t.shape), t.dtype) for t in found]
    expected = [(list(t.shape), t.dtype) for t in wanted]
    at = ", ".join(f"{symbol}={size}" for symbol, size in sizes.items())
    where = f" ({at})" if at else ""
    way = f"write it with other operators; {OTHER_FORMATS}"
    if told != expected:
        raise StepError(f"the file gives {told}, the model {expected}{where}", way, "format")
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        if not other.dtype.is_floating_point:
            continue
        finite = other.isfinite()
        largest = float(other[finite].abs().max()) if finite.any() else 0.0
        error = float((one[finite] - other[finite]).abs().max()) if finite.any() else 0.0
        if not error <= allowed * largest + 1e-6:
            raise StepError(
                f"output {number} of the file is wrong by {error:.3g}, its largest value being "
                f"{largest:.3g}{where}",
                way,
                "format",
            )


def _explain(error: Exception, source: Any, backend: str) -> StepError:
    lacking = operator_of(error)
    if lacking is not None:
        return _missing(lacking, source)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = " ".join(lines[:4])[:400]
    if not reason or not isinstance(error, RuntimeError):
        reason = f"{type(error).__name__}: {reason}"
    way = "" if backend == "portable" else "`backend: portable` needs no delegate; else "
    return StepError(
        f"ExecuTorch cannot lower this model: {reason}",
        f"{way}{OTHER_FORMATS}",
        "options.backend" if way else None,
    )


def _missing(operator: str, source: Any) -> StepError:
    name = operator.removesuffix(".default").removesuffix(".out").replace("::", ".")
    path = module_of(program.load(source), name)
    at = f" (in `{path}`)" if path else ""
    plain = name.removeprefix("aten.").removeprefix("prims.")
    return StepError(
        f"ExecuTorch has no kernel for the operator `{plain}`{at}",
        f"write it with other operators; {OTHER_FORMATS}",
        "format",
    )
