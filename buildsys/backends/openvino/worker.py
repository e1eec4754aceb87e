"""Makes OpenVINO's representation of an ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import openvino as ov
from openvino import _offline_transformations as transformations

from ..kit.export import onnx_branches
from ..kit.protocol import ports as ports_of
from ..kit.protocol.contract import Contract
from ..kit.protocol.request import Request, StepError
from . import failures, ir, runtime
from .shaped import shaped

PRELOAD = {"convert": ("numpy.random",)}
"""What each step imports late; see `toolchains/inside/forks.py`."""


def convert(request: Request) -> None:
    """Makes a folder with `model.xml` and `model.bin`, with the recipe's names and ranges of sizes.

    Inputs: `artifact` (ONNX), `io`. Options: `ports`, `outputs`.

    Raises:
        StepError: An operator has no counterpart, or the result does not run.
    """
    source = request.inputs["artifact"]
    contract = Contract.read(request.inputs["io"])
    graph = onnx.load(source, load_external_data=False).graph
    model = _converted(source, graph, contract, request)
    ir.fit(model, contract, request)
    ir.write(model, request.outputs["artifact"], _known(graph))
    _try(request, contract)
    contract.write(request.outputs["io"])


def _converted(source: Path, graph: Any, contract: Contract, request: Request) -> Any:
    shapes = _shapes(contract, request)
    try:
        model = _read(source, contract, request)
        if len(shapes) == len(model.inputs):  # Else `fit` says which are missing.
            model.reshape(dict(zip(model.inputs, shapes, strict=True)))
        # As `ovc` does: fuses, folds and drops what only a frontend needs.
        transformations.apply_moc_transformations(model, cf=False, smart_reshape=True)
        transformations.compress_quantize_weights_transformation(model)
        transformations.apply_fused_names_cleanup(model)
    except RuntimeError as error:
        raise failures.of_conversion(error, list(_nodes(graph))) from error
    return model


def _read(source: Path, contract: Contract, request: Request) -> Any:
    """The file as OpenVINO reads it; with what the recipe knows where it does not do without."""
    try:
        return ov.Core().read_model(source)
    except RuntimeError as error:
        told = shaped(source, contract, request.options["ports"], request.scratch)
        try:
            if not told.sized and not told.inlined:
                raise
            model = ov.Core().read_model(told.path)
        except RuntimeError as second:
            if not told.left:
                raise
            raise failures.of_choice(second, told.left) from error
        if told.sized:
            request.note(
                "OpenVINO converts this ONNX file only with the recipe's sizes of its inputs written into it"
            )
        if told.inlined:
            request.note(onnx_branches.told(told.inlined, "OpenVINO"))
    return model


def _shapes(contract: Contract, request: Request) -> list[Any]:
    """The inputs' shapes; a size that varies keeps its range."""
    dims = ports_of.symbols(request.options["ports"])
    return [
        ov.PartialShape(
            [
                ov.Dimension(dims[size]["min"], dims[size]["max"]) if size in dims else _fixed(size)
                for size in port.shape
            ]
        )
        for port in contract.inputs
    ]


def _fixed(size: int | str) -> Any:
    return ov.Dimension(size) if isinstance(size, int) else ov.Dimension()


def _nodes(graph: Any) -> Any:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _known(graph: Any) -> set[str]:
    """Names that the ONNX model gives to nodes, weights and tensors."""
    found = {tensor.name for tensor in graph.initializer}
    for node in _nodes(graph):
        found.update((node.name, *node.output))
    return found - {""}


def _try(request: Request, contract: Contract) -> None:
    """Runs the file at the example's sizes, and at others where they vary.

    Raises:
        StepError: It does not load or does not run.
    """
    ports = request.options["ports"]
    session = runtime.load(request.outputs["artifact"], contract, request.threads)
    sizes = ports_of.example_sizes(ports)
    session.run(ports_of.random_feed(ports, sizes, seed=0))
    for symbol, dim in ports_of.symbols(ports).items():
        refusal: StepError | None = None
        for other in ports_of.other_sizes(dim, sizes[symbol]):
            try:
                session.run(ports_of.random_feed(ports, {**sizes, symbol: other}, seed=0))
                break
            except StepError as error:
                refusal = refusal or error
        else:
            raise refusal or StepError(f"no size of `{symbol}` can be tried", field="inputs")
