"""Exports a captured model by the exporter that goes with it."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch

from ..kit.export import modules
from ..kit.export.modules import module_of
from ..kit.export.survey import capture_sizes
from ..kit.protocol import ports as ports_of
from ..kit.protocol.archive import kind_of
from ..kit.protocol.contract import Contract
from ..kit.protocol.request import Request, StepError
from . import canonical, graph
from .export import external, operator_names, shapes, translations
from .files import MODEL

OPSETS = {"torchscript": 17, "exported": 20}
PRELOAD = dict.fromkeys(("export", "export_external"), ("numpy.random", "torch.onnx"))
"""What each step imports late; see `toolchains/inside/forks.py`."""

# What the exporters say on every model, and no user can act on.
NOISE = (
    r"You are using the legacy TorchScript-based ONNX export",
    r"The feature will be removed",
    r"Exporting a model to ONNX with a batch_size other than 1",
    r"Constant folding - Only steps=1 can be constant folded",
    r"# The axis name: .* will not be used, since it shares the same shape constraints",
    r"Converting a tensor to a Python",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"no signature found for <torch\.ScriptMethod",
)


def export(request: Request) -> None:
    """Makes an ONNX file with the recipe's names.

    Inputs: `artifact` (TorchScript or ExportedProgram), `io`. Options: `ports`, `outputs`, `format.opset`.

    Raises:
        StepError: An operator has no ONNX counterpart, the opset cannot be had, or the file would be
            too large.
    """
    contract = Contract.read(request.inputs["io"])
    canonical.save(_converted(request, contract, None), request.outputs["artifact"])
    contract.write(request.outputs["io"])


def export_external(request: Request) -> None:
    """The same in a folder, with the weights in a file of their own; they may be of any size.

    Inputs: as `export`. Options: as `export`, and `format.threshold_kib`.

    Raises:
        StepError: As `export`; or too much stays in the graph.
    """
    contract = Contract.read(request.inputs["io"])
    draft = request.scratch / "draft"
    draft.mkdir()
    model = _converted(request, contract, draft / MODEL)
    external.save(model, draft, request, request.options["format"]["threshold_kib"])
    contract.write(request.outputs["io"])


def _converted(request: Request, contract: Contract, draft: Path | None) -> Any:
    """The exported model with the recipe's names; with a `draft`, weights may lie beside it."""
    torch.set_num_threads(request.threads)
    torch.manual_seed(0)
    source = request.inputs["artifact"]
    kind = kind_of(source)
    opset = request.options.get("format", {}).get("opset") or OPSETS[kind]
    with quiet():
        convert = _from_torchscript if kind == "torchscript" else _from_exported
        model = convert(source, contract, request, opset, draft)
    made = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if made != opset:
        raise StepError(
            f"the exporter gives opset {made}, not {opset}: the model needs operators of {made}",
            f"set `opset: {made}`, or use `capture: trace` and `route: torchscript`",
            "options.opset",
        )
    graph.check_names(model, contract)
    graph.declare_outputs(model, contract)
    return model


def _from_torchscript(
    source: Path, contract: Contract, request: Request, opset: int, draft: Path | None
) -> Any:
    module = torch.jit.load(source, map_location="cpu").eval()
    if draft is None:
        _check_size(module.state_dict().values())
    names, outputs = [p.name for p in contract.inputs], [p.name for p in contract.outputs]
    axes = {
        port.name: {axis: size for axis, size in enumerate(port.shape) if isinstance(size, str)}
        for port in (*contract.inputs, *contract.outputs)
    }
    buffer = io.BytesIO()
    try:
        with torch.no_grad(), shapes.known(_others(request)):
            torch.onnx.export(
                module,
                _example(request),
                # Given a path, it writes weights beside it where they are too large for one file.
                buffer if draft is None else str(draft),
                input_names=names,
                output_names=outputs,
                dynamic_axes={name: sizes for name, sizes in axes.items() if sizes},
                opset_version=opset,
                do_constant_folding=True,
                dynamo=False,
            )
    except Exception as error:
        raise _failure(error, "`route: exported`", module.inlined_graph) from error
    if draft is not None:
        return onnx.load(draft, load_external_data=False)
    return onnx.load_model_from_string(buffer.getvalue())


def _from_exported(
    source: Path, contract: Contract, request: Request, opset: int, draft: Path | None
) -> Any:
    with source.open("rb") as stream:
        program = torch.export.load(stream)
    if draft is None:
        _check_size(program.state_dict.values())
    told = operator_names.tell(program)
    try:
        with torch.no_grad():
            exported = torch.onnx.export(
                program,
                _example(request),
                input_names=[p.name for p in contract.inputs],
                output_names=[p.name for p in contract.outputs],
                opset_version=opset,
                dynamo=True,
                custom_translation_table=translations.table(opset),
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        other = "`capture: trace` and `route: torchscript`"
        raise _failure(error, other, program=program) from error
    if draft is None:
        model = exported.model_proto
    else:
        exported.save(draft, external_data=True)
        model = onnx.load(draft, load_external_data=False)
    _rename_symbols(model, contract)
    graph.rename_weights(model, modules.original)
    operator_names.write(model, told)
    return model


def _rename_symbols(model: Any, contract: Contract) -> None:
    """Gives dynamic sizes the recipe's names: the exporter names them `s77` and the like."""
    known: dict[str, str] = {}
    for value, port in zip(model.graph.input, contract.inputs, strict=False):
        for dim, size in zip(value.type.tensor_type.shape.dim, port.shape, strict=False):
            if isinstance(size, str) and dim.dim_param:
                known[dim.dim_param] = size
    if not known:
        return
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, known)) + r")\b")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = pattern.sub(lambda found: known[found[0]], dim.dim_param)


def _example(request: Request) -> tuple[torch.Tensor, ...]:
    ports = request.options["ports"]
    feed = ports_of.random_feed(ports, capture_sizes(ports, dynamic=True), seed=0)
    return tuple(torch.from_numpy(feed[port["name"]]) for port in ports)


def _others(request: Request) -> list[tuple[torch.Tensor, ...]]:
    """Inputs at other sizes than the example's, the likeliest to be taken first."""
    ports = request.options["ports"]
    sizes = capture_sizes(ports, dynamic=True)
    varying = {s: ports_of.other_sizes(d, sizes[s]) for s, d in ports_of.symbols(ports).items()}
    found = []
    for number in range(max(map(len, varying.values()), default=1)):
        other = {s: wanted[min(number, len(wanted) - 1)] for s, wanted in varying.items()}
        feed = ports_of.random_feed(ports, sizes | other, seed=number + 1)
        found.append(tuple(torch.from_numpy(feed[port["name"]]) for port in ports))
    return found


def _check_size(tensors: Any) -> None:
    """Refuses weights that one file cannot hold, before minutes are spent on them."""
    size = sum(t.numel() * t.element_size() for t in tensors)
    if size + canonical.ROOM > canonical.LARGEST:
        raise canonical.too_large(size)


def _failure(error: Exception, other: str, graph: Any = None, program: Any = None) -> StepError:
    """An exporter's error, naming the operator and where in the model it stands.

    Args:
        error: What the exporter raised.
        other: What the recipe says for the other exporter.
        graph: The inlined graph of a ScriptModule, to look the operator up in.
        program: Or the exported program.
    """
    texts, cause = [], error.__cause__ or error.__context__
    while cause is not None:
        texts.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    text = "\n".join([str(error), *texts])
    hint = f"write it with other operators, or use {other}: that exporter is another one"
    missing = re.search(r"operator '([\w.:]+)'|found for <OpOverload\(op='([\w.:]+)'", text)
    if missing is not None:
        name = missing.group(1) or _own_name(missing.group(2), program)
        where = _module_of(name, graph) if program is None else module_of(program, name)
        at = f" (in `{where}`)" if where else ""
        return StepError(f"ONNX has no counterpart for the operator `{name}`{at}", hint, "format")
    refused = re.search(r"ONNX export of (\w[^.\n]*)", text)
    if refused is not None:
        return StepError(f"the exporter cannot convert {refused.group(1).strip()}", hint, "format")
    lines = [line.strip() for line in (texts[-1] if texts else text).splitlines() if line.strip()]
    return StepError(f"the exporter fails: {' '.join(lines[:6])}", hint, "format")


def _own_name(name: str, program: Any) -> str:
    """The model's own operator, of one that the exporter decomposed it into: `aten::special_bessel_j0`."""
    library, _, word = name.partition(".")
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    known = [t._schema.name for t in targets if isinstance(t, torch._ops.OpOverload)]
    own = next((each for each in known if each.endswith(word.partition(".")[0])), None)
    return own or f"{library}::{word}"


def _module_of(operator: str, graph: Any) -> str | None:
    """The dotted path of the first module that uses an operator."""
    for node in graph.findAllNodes(operator) if graph is not None else ():
        parts = node.scopeName().split("/")
        return ".".join(part.rpartition("::")[2] for part in parts[1:]) or None
    return None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences the exporters' known noise, by name."""
    with warnings.catch_warnings():
        for pattern in NOISE:
            warnings.filterwarnings("ignore", message=pattern)
        logger = logging.getLogger("torch.onnx")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
