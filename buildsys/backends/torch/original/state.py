"""The weights of the original model, as they are before anything is converted, and what it makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...kit.inspect.stored_weights import DERIVED, Norm, Stored, Weights, save
from ...kit.protocol import ports as ports_of
from ...kit.protocol.archive import kind_of
from ...kit.protocol.request import Request
from ..files import load
from . import model
from .derived import Tracer

UNKNOWN_EPS = (1e-5, 1e-3, 1e-6, 1e-4, 1e-2, 1e-7, 1e-8, 1e-12)
"""What is tried where a file keeps no module that would say: defaults of libraries come first."""


def weights(request: Request) -> None:
    """Writes all parameters, buffers and constant tensors of the model, and what it computes of these alone.

    Inputs: maybe `checkpoint`, or `source` (TorchScript or ExportedProgram). Options: as `reference`.
    Outputs: `weights` (`.npz`) and `names` (`.json`); see `kit.inspect.stored_weights`.

    Raises:
        StepError: The model cannot be made.
    """
    save(_weights(request), request.outputs["weights"], request.outputs["names"])


def named(module: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """A module's tensors by the names that `weights` gives them, those that can be written to."""
    if isinstance(module, torch.jit.ScriptModule):
        yield from module.named_parameters()
        yield from module.named_buffers()
    else:
        yield from _named(module)


def _weights(request: Request) -> Weights:
    if "source" not in request.inputs:
        eager = model.load(request)
        found = of_module(eager.module)
        made = _derived(request, eager.takes_recipe_order(), named(eager.module))
        return replace(found, tensors=(*found.tensors, *made))
    model.prepare(request.threads)
    path = request.inputs["source"]
    kind = kind_of(path)
    loaded = load(path, kind)
    held = dict(_of_file(loaded, kind))
    called = loaded if kind == "torchscript" else loaded.module()
    made = _derived(request, called, named(called))
    return Weights((*_tensors(held.items()), *made), tuple(_norms_by_name(held)))


def _derived(
    request: Request, called: Any, known: Iterator[tuple[str, torch.Tensor]]
) -> tuple[Stored, ...]:
    """What the model computes of its weights alone, at the example's sizes."""
    ports = request.options["ports"]
    feed = ports_of.random_feed(ports, ports_of.example_sizes(ports), seed=0)
    given = model.tensors(feed, [port["name"] for port in ports])
    tracer = Tracer(known)
    try:
        with torch.no_grad(), tracer:
            called(*given)
    except (
        Exception
    ) as error:  # A user's code may not run under a mode; the step that runs it says so.
        request.note(f"what the model computes of its weights alone is not known: {error}")
        return ()
    finally:
        model.seed(0)
    made = []
    for number, found in enumerate(tracer.derived()):
        name = f"{DERIVED}{number}:{found.name}"
        (stored,) = _tensors([(name, found.value)])
        made.append(replace(stored, made_of=found.of, slack=found.slack))
    return tuple(made)


def of_module(module: torch.nn.Module) -> Weights:
    """The weights of a module, with what is known of the layers that use them."""
    eps = dict(_eps(module))
    return Weights(
        tuple(replace(tensor, eps=eps.get(tensor.name)) for tensor in _tensors(_named(module))),
        tuple(_norms(module)),
        frozenset(_linear(module)),
        frozenset(_plain(module)),
    )


def _named(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers, then tensors that are plain attributes; what is tied comes once."""
    yield from module.named_parameters()
    yield from module.named_buffers()
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor):
                yield f"{path}.{name}" if path else name, value


def _of_file(loaded: Any, kind: str) -> Iterator[tuple[str, torch.Tensor]]:
    if kind == "torchscript":
        yield from loaded.named_parameters()
        yield from loaded.named_buffers()
        # What a trace met beside parameters and buffers is a constant of its graph.
        graph = loaded.inlined_graph  # Its nodes do not outlive it.
        for number, node in enumerate(graph.findAllNodes("prim::Constant")):
            if node.hasAttribute("value") and node.kindOf("value") == "t":
                yield f"constant.{number}", node.t("value")
        return
    yield from loaded.state_dict.items()
    for name, value in loaded.constants.items():
        if isinstance(value, torch.Tensor) and name not in loaded.state_dict:
            yield name, value


def _tensors(named: Any) -> Iterator[Stored]:
    for name, tensor in named:
        if not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
            continue  # Counters and indices; complex ones come as pairs of floats, if at all.
        array = tensor.detach().cpu().resolve_conj()
        if array.is_complex():
            array = torch.view_as_real(array)
        storage = str(array.dtype).removeprefix("torch.")
        if storage not in ("float64", "float32", "float16"):
            array = array.float()
        yield Stored(name, np.ascontiguousarray(array.numpy()), storage)


def _norms(module: torch.nn.Module) -> Iterator[Norm]:
    for path, part in module.named_modules():
        if not isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            continue
        if part.running_mean is not None:
            head = f"{path}." if path else ""
            yield Norm(
                path,
                f"{head}weight" if part.weight is not None else None,
                f"{head}bias" if part.bias is not None else None,
                f"{head}running_mean",
                f"{head}running_var",
                (float(part.eps),),
            )


def _eps(module: torch.nn.Module) -> Iterator[tuple[str, float]]:
    """The gains of PyTorch's own norms, with what they add to the variance."""
    for path, part in module.named_modules():
        own = type(part).__module__.startswith("torch.nn.modules.")
        eps = getattr(part, "eps", None)
        if (
            own
            and isinstance(eps, float)
            and isinstance(getattr(part, "weight", None), torch.Tensor)
        ):
            yield f"{path}.weight" if path else "weight", eps


def _norms_by_name(named: dict[str, torch.Tensor]) -> Iterator[Norm]:
    for name in named:
        head, found, _ = name.rpartition("running_var")
        if found and f"{head}running_mean" in named:
            yield Norm(
                head.removesuffix("."),
                f"{head}weight" if f"{head}weight" in named else None,
                f"{head}bias" if f"{head}bias" in named else None,
                f"{head}running_mean",
                name,
                UNKNOWN_EPS,
            )


def _linear(module: torch.nn.Module) -> Iterator[str]:
    for path, part in module.named_modules():
        if type(part) is torch.nn.Linear:
            yield f"{path}.weight" if path else "weight"


def _plain(module: torch.nn.Module) -> Iterator[str]:
    """Weights of layers that are PyTorch's own, and have no hook or parametrization on them."""
    for path, part in module.named_modules():
        own = type(part).__module__.startswith("torch.nn.modules.")
        if own and not part._forward_pre_hooks and not hasattr(part, "parametrizations"):
            for name, _ in part.named_parameters(recurse=False):
                yield f"{path}.{name}" if path else name
