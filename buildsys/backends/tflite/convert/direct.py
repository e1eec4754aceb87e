"""The direct route: an exported program to TFLite by litert-torch."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

# litert-torch imports torchao and transformers' neighbours, which look for accelerators and say so.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
warnings.filterwarnings("ignore", category=FutureWarning, module=r"copyreg|torch(\.|$)")

import litert_torch  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from ...kit.export.modules import module_of  # noqa: E402
from ...kit.protocol import ports  # noqa: E402
from ...kit.protocol.contract import Contract, Port  # noqa: E402
from ...kit.protocol.names import alias, note_fixed_sizes  # noqa: E402
from ...kit.protocol.request import Request, StepError  # noqa: E402
from ..quantize.census import census  # noqa: E402
from ..signature import Signature  # noqa: E402
from .rewrites import rewrite  # noqa: E402

PRELOAD = {
    "convert": (
        "torch.export._trace",
        "jaxlib.mlir.dialects.mhlo",
        "jaxlib.mlir.dialects.builtin",
        "litert_converter.mlir.dialects.builtin",
    )
}
"""What each step imports late; see `toolchains/inside/forks.py`."""
WHAT = "TFLite file"
OTHER_ROUTE = "take `route: onnx` for this deployable, which converts by other means"

_MISSING = re.compile(r"Lowering not found: (?P<op>[\w.]+)")
_EXECUTING = re.compile(r"While executing %(?P<node>\w+)")


def convert(request: Request) -> None:
    """Makes a TFLite file with the recipe's names, at the example sizes.

    Raises:
        StepError: litert-torch lacks an operator, or the file does not load.
    """
    options = request.options
    source = Contract.read(request.inputs["io"])
    names: list[str] = options["outputs"]
    if len(names) != len(source.outputs):
        raise StepError(
            f"the recipe names {len(names)} outputs, the model has {len(source.outputs)}",
            hint="name every output of the model, in its order",
            field="outputs",
        )
    inputs = {
        spec["name"]: alias(request, "input", spec["name"], WHAT) for spec in options["ports"]
    }
    outputs = {name: alias(request, "output", name, WHAT) for name in names}
    model = _lower(request, list(inputs.values()), list(outputs.values()))
    target = request.outputs["artifact"]
    target.write_bytes(model)
    note_fixed_sizes(request, WHAT)
    _contract(request, source, target, inputs, outputs).write(request.outputs["io"])


def _lower(request: Request, inputs: list[str], outputs: list[str]) -> bytes:
    sizes = ports.example_sizes(request.options["ports"])
    example = {
        name: torch.zeros(ports.concrete(spec["shape"], sizes), dtype=getattr(torch, spec["dtype"]))
        for name, spec in zip(inputs, request.options["ports"], strict=True)
    }
    program = torch.export.load(request.inputs["artifact"])
    module = program.module()
    rewrite(module)
    draft = request.scratch / "draft.tflite"
    logging.getLogger().setLevel(logging.ERROR)
    try:
        litert_torch.convert(_Named(module, inputs, outputs), sample_kwargs=example).export(
            str(draft)
        )
    except Exception as error:
        # Whatever litert-torch raises is about this model; the log keeps the whole trace.
        traceback.print_exc(file=sys.stderr)
        raise _explain(error, program) from error
    model = draft.read_bytes()
    unknown = sorted(census(model).custom)
    if unknown:
        raise StepError(
            f"litert-torch wrote operators that LiteRT does not have: {', '.join(unknown)}",
            OTHER_ROUTE,
        )
    return model


class _Named(nn.Module):  # type: ignore[misc]  # On the host there is no torch to check by.
    """The program under the recipe's names: litert-torch takes a signature's from the Python call."""

    def __init__(self, program: nn.Module, inputs: list[str], outputs: list[str]) -> None:
        super().__init__()
        self.program = program
        self.inputs = inputs
        self.outputs = outputs
        # A loaded program is neither in training nor in evaluation mode, and cannot be told;
        # litert-torch asks the outermost module only.
        self.training = False

    def forward(self, **feed: torch.Tensor) -> dict[str, torch.Tensor]:
        """Calls the program in its own order and names what it gives."""
        found: Any = self.program(*(feed[name] for name in self.inputs))
        flat = torch.utils._pytree.tree_leaves(found)
        return dict(zip(self.outputs, flat, strict=True))


# The names of a file's tensors start with the module's; ours would mean nothing to its users.
_Named.__module__ = "model"
_Named.__qualname__ = _Named.__name__ = "model"


def _contract(
    request: Request,
    source: Contract,
    target: Path,
    inputs: dict[str, str],
    outputs: dict[str, str],
) -> Contract:
    """Loads the file and describes it as it is."""
    try:
        signature = Signature(target)
    except StepError as error:
        # What litert-torch writes may hold an operator that the runtime lacks; the other route may not.
        raise StepError(error.message, OTHER_ROUTE) from error
    for kind, wanted, found in (
        ("inputs", inputs, signature.inputs),
        ("outputs", outputs, signature.outputs),
    ):
        if set(wanted.values()) != set(found):
            raise StepError(
                f"litert-torch named the {kind} {', '.join(sorted(found))} where "
                f"{', '.join(wanted.values())} were asked for",
                OTHER_ROUTE,
            )
    contract = Contract()
    for spec in request.options["ports"]:
        tensor = signature.inputs[inputs[spec["name"]]]
        _note_dtype(request, "input", spec["name"], spec["dtype"], tensor.dtype)
        contract.inputs.append(
            Port(
                spec["name"],
                list(tensor.shape),
                tensor.dtype,
                layout=spec.get("layout"),
                artifact_name=_differing(inputs, spec["name"]),
            )
        )
    for (name, artifact_name), port in zip(outputs.items(), source.outputs, strict=True):
        tensor = signature.outputs[artifact_name]
        _note_dtype(request, "output", name, port.dtype, tensor.dtype)
        contract.outputs.append(
            Port(
                name,
                list(tensor.shape),
                tensor.dtype,
                layout=port.layout,
                artifact_name=_differing(outputs, name),
            )
        )
    return contract


def _differing(names: dict[str, str], name: str) -> str | None:
    return names[name] if names[name] != name else None


def _note_dtype(request: Request, kind: str, name: str, before: str, after: str) -> None:
    if before != after:
        request.note(f"{kind} `{name}` is {after} in the TFLite file, {before} in the model")


def _explain(error: Exception, program: Any) -> StepError:
    reason = " ".join(str(error).split())
    missing = _MISSING.search(reason)
    if missing:
        module = module_of(program, missing["op"])
        where = f" (in `{module}`)" if module else ""
        return StepError(f"litert-torch has no lowering for `{missing['op']}`{where}", OTHER_ROUTE)
    executing = _EXECUTING.search(reason)
    place = f" at `{executing['node']}`" if executing else ""
    return StepError(
        f"litert-torch cannot convert this model{place}: {reason[:400] or type(error).__name__}",
        OTHER_ROUTE,
    )
