"""Takes a TorchScript or ExportedProgram file of the user's as an artifact."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ...kit.export.survey import Survey, capture_sizes, survey
from ...kit.protocol import ports as ports_of
from ...kit.protocol.archive import kind_of
from ...kit.protocol.cause import first_lines
from ...kit.protocol.request import Request, StepError
from ..files import WORDS, load
from ..original import model
from ..original.outputs import difference, leaves, order, to_numpy
from . import canonical, constant_folding, decomposition, graphs, reserved

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


def adopt(request: Request) -> None:
    """Copies the file in canonical form and finds out its outputs' shapes.

    With `dynamic` false, an ExportedProgram with varying sizes is fixed at the example's.

    Raises:
        StepError: It does not load, or its inputs and outputs are not the recipe's.
    """
    model.prepare(request.threads)
    path = request.inputs["source"]
    kind = request.options["source"]["kind"]
    found = kind_of(path)
    if found != kind:
        message = f"the file is {WORDS[found]}, not {WORDS[kind]}"
        raise StepError(message, f"name it as `{found}:` under `source`", f"source.{kind}")
    if kind == "torchscript":
        _adopt_torchscript(path, request)
    else:
        _adopt_exported(path, request)


def _adopt_torchscript(path: Path, request: Request) -> None:
    module = load(path, "torchscript")
    if getattr(module, "training", False):
        module.eval()
        request.note("the TorchScript file was saved in training mode; it was set to inference")
    own = [a.name for a in module.forward.schema.arguments[1:] if not a.has_default_value()]
    every = [a.name for a in module.forward.schema.arguments[1:]]
    _check_inputs(own, every, request)
    contract = survey(
        _runner(module, request),
        request.options["ports"],
        request.options["outputs"],
        True,
        request.options.get("layouts"),
    ).contract
    decomposition.note_kept(module, "a TorchScript file", request)
    canonical.save_torchscript(module, request.outputs["artifact"])
    load(request.outputs["artifact"], "torchscript")
    contract.write(request.outputs["io"])


def _adopt_exported(path: Path, request: Request) -> None:
    program = load(path, "exported")
    reserved.rename(program, request)
    ports = request.options["ports"]
    dynamic = request.options.get("dynamic", True)
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    own = list(program.graph_signature.user_inputs)
    _check_inputs(own, own, request)
    fixed = True
    for port, name in zip(ports, own, strict=True):
        value = nodes[name].meta["val"]
        _check_tensor(
            port, [int(s) if isinstance(s, int) else str(s) for s in value.shape], value, dynamic
        )
        fixed = fixed and all(isinstance(size, int) for size in value.shape)
    if not dynamic and not fixed:
        feed = ports_of.random_feed(ports, capture_sizes(ports, False), seed=0)
        example = model.tensors(feed, [port["name"] for port in ports])
        program = torch.export.export(program.module(), example)
    outputs, layouts = request.options["outputs"], request.options.get("layouts")
    run = _runner(program.module(), request)
    found = survey(run, ports, outputs, dynamic, layouts)
    better = _without_lacking(program, run, found, request)
    canonical.save_exported(program if better is None else better, request.outputs["artifact"])
    load(request.outputs["artifact"], "exported")
    found.contract.write(request.outputs["io"])


def _without_lacking(
    program: torch.export.ExportedProgram, run: Run, found: Survey, request: Request
) -> torch.export.ExportedProgram | None:
    """A program that gives the same without operators that some converter lacks.

    Returns:
        It; or `None` where there is nothing to do, or nothing that can be done, which a note says.
    """
    better, folded, absent = copy.deepcopy(program), [], decomposition.lacking(program)
    try:
        folded = constant_folding.fold(better, constant_folding.Budget(program.state_dict.values()))
        absent = decomposition.lacking(better)
        if not folded and not absent:
            return None
        if absent:
            better = _decomposed(better, absent, request)
        told = _unlike(run, _runner(better.module(), request), found, request)
    except Exception as error:  # Of ours: the program as it is says what is wrong.
        told = first_lines(error, 1)
    if told is not None:
        shown = decomposition.listed((*folded, *absent))
        request.note(f"{shown}, which some converters lack, could not be decomposed: {told[:200]}")
        return None
    if left := decomposition.lacking(better):
        shown = decomposition.listed(left)
        request.note(
            f"{shown}, which some converters lack, stays: its decomposition needs other arguments"
        )
    return better


def _decomposed(
    program: torch.export.ExportedProgram, absent: Sequence[str], request: Request
) -> torch.export.ExportedProgram:
    ports, dynamic = request.options["ports"], request.options.get("dynamic", True)
    example = graphs.example(request, capture_sizes(ports, dynamic))
    shapes = tuple(graphs.dims(ports, dynamic))
    module = program.module(check_guards=False)
    with torch.no_grad(), decomposition.Decomposed(absent):
        return torch.export.export(module, example, dynamic_shapes=shapes)


def _unlike(one: Run, other: Run, found: Survey, request: Request) -> str | None:
    """How two programs differ, on samples of the sizes that the file was tried at."""
    ports = request.options["ports"]
    for sizes in (found.sizes, *({**found.sizes, s: n} for s, n in found.others.items())):
        feed = ports_of.random_feed(ports, sizes, seed=1)
        differs = difference(other(feed), one(feed))
        if differs is not None:
            return differs
    return None


def _check_inputs(own: Sequence[str], every: Sequence[str], request: Request) -> None:
    declared = [port["name"] for port in request.options["ports"]]
    if not len(own) <= len(declared) <= len(every):
        raise StepError(
            f"the file takes {len(every)} input{'s' * (len(every) != 1)}, the recipe declares "
            f"{len(declared)}; the file's are {', '.join(every) or 'none'}",
            "declare each of them under `inputs`, in this order",
            "inputs",
        )
    if set(declared) <= set(every) and list(every[: len(declared)]) != declared:
        raise StepError(
            f"the recipe's inputs are in another order than the file's: {', '.join(every)}",
            "put `inputs` into this order",
            "inputs",
        )


def _check_tensor(
    port: dict[str, Any], shape: list[int | str], value: torch.Tensor, dynamic: bool
) -> None:
    dtype = str(value.dtype).removeprefix("torch.")
    example = {s: dim["example"] for s, dim in port["dims"].items()}
    varying = {s for s, dim in port["dims"].items() if dynamic and dim["min"] < dim["max"]}
    wanted = [s if s in varying else example.get(s, s) for s in port["shape"]]
    fits = len(shape) == len(wanted) and all(
        isinstance(have, str) or have == want for have, want in zip(shape, wanted, strict=True)
    )
    if dtype == port["dtype"] and fits:
        return
    raise StepError(
        f"input `{port['name']}` is {dtype}{_shown(shape)} in the file, "
        f"{port['dtype']}{_shown(port['shape'])} in the recipe",
        "declare it as the file has it: a size that the file fixes is a number",
        "inputs",
    )


def _shown(shape: Sequence[int | str]) -> str:
    return "[" + ", ".join("?" if str(s).startswith("s") else str(s) for s in shape) + "]"


def _runner(module: Any, request: Request) -> Run:
    names = [port["name"] for port in request.options["ports"]]
    outputs = request.options["outputs"]

    def run(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            with torch.no_grad():
                returned = module(*model.tensors(feed, names))
        except Exception as error:
            shapes = ", ".join(f"`{n}` {feed[n].dtype}{list(feed[n].shape)}" for n in names)
            lines = [line for line in str(error).strip().splitlines() if line.strip()]
            raise StepError(
                f"the file does not take the declared inputs: {lines[-1] if lines else error}",
                f"it was given {shapes}",
                "inputs",
            ) from error
        found = leaves(returned)
        chosen = order(found, outputs)
        if chosen != list(range(len(outputs))) or any(len(leaf.path) > 4 for leaf in found):
            raise StepError(
                "the file returns nested or named outputs: converters take a flat tuple only",
                "return a tuple in the order of `outputs`",
                "outputs",
            )
        return {name: to_numpy(leaf.tensor) for name, leaf in zip(outputs, found, strict=True)}

    return run
