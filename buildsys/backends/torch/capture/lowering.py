"""Exported programs whose weights and arithmetic are float16 or bfloat16."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ...kit.export import modules
from ...kit.export.survey import capture_sizes
from ...kit.protocol.contract import Contract
from ...kit.protocol.globs import fitting
from ...kit.protocol.request import Request, StepError
from ..files import load
from ..original import model
from ..precision.emulation import FLOATS
from . import canonical, graphs

PRELOAD = {"quantize": ("numpy.random", "torch.export._trace", "torch.export.exported_program")}
"""What each step imports late; see `toolchains/inside/forks.py`."""

FIELD = "quantization"
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def quantize(request: Request) -> None:
    """Rewrites a program in a smaller floating type; inputs and outputs stay as they are.

    What `keep_float` names computes in its own precision, from and to the smaller one.

    Raises:
        StepError: A glob of `keep_float` fits no module, or torch has no kernel for the type.
    """
    model.prepare(request.threads)
    wanted = request.options["quantization"]
    contract = Contract.read(request.inputs["io"])
    # In functional form, since an operation must not write into a copy that a cast has made.
    program = load(request.inputs["artifact"], "exported").run_decompositions({})
    kept = _kept(program.graph_module, wanted.get("keep_float") or [])
    lowered = _Lowered(program, DTYPES[wanted["scheme"]], kept)
    dynamic = any(isinstance(size, str) for port in contract.inputs for size in port.shape)
    ports = request.options["ports"]
    example = graphs.example(request, capture_sizes(ports, dynamic))
    try:
        with torch.no_grad():
            small = torch.export.export(
                lowered, example, dynamic_shapes={"args": tuple(graphs.dims(ports, dynamic))}
            )
    except (RuntimeError, NotImplementedError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise StepError(
            f"the program does not run in {wanted['scheme']}: {lines[0][:300]}",
            "name the module in `keep_float`, or take the other 16-bit scheme",
            FIELD,
        ) from error
    canonical.save_exported(small, request.outputs["artifact"])
    contract.write(request.outputs["io"])


def _kept(graph_module: Any, patterns: Sequence[str]) -> set[str]:
    """The names of the nodes within modules that globs name."""
    if not patterns:
        return set()
    paths = {node.name: _path(node) for node in graph_module.graph.nodes if _path(node)}
    answers = {path: (path, *_above(path)) for path in paths.values()}
    none = "fits no module of the model"
    found = set(fitting(patterns, answers, none))
    return {name for name, path in paths.items() if path in found}


def _path(node: Any) -> str:
    return str((node.meta.get("custom") or {}).get(modules.KEY, ""))


def _above(path: str) -> list[str]:
    """The modules that a module lies in."""
    parts = path.split(".")
    return [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]


class _Lowered(torch.nn.Module):  # type: ignore[misc]
    """A program, run in another precision; to be exported again."""

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        dtype: torch.dtype,
        kept: Collection[str],
    ) -> None:
        super().__init__()
        self.inner = program.module(check_guards=False)
        self._dtype = dtype
        self._kept = kept
        given = program.graph_signature.user_outputs
        nodes = {node.name: node for node in program.graph.nodes}
        self._outputs = [nodes[name].meta["val"].dtype for name in given]
        self._lower_weights()

    def forward(self, *args: torch.Tensor) -> Any:
        """Runs it; outputs are as the program's own."""
        found = _Run(self.inner, self._dtype, self._kept).run(*args)
        left = iter(self._outputs)
        return tree_map(lambda value: value.to(next(left)), found)

    def _lower_weights(self) -> None:
        """Converts weights that some operation takes in the smaller type."""
        users: dict[str, list[str]] = {}
        for node in self.inner.graph.nodes:
            if node.op == "get_attr":
                users.setdefault(node.target, []).extend(user.name for user in node.users)
        for prefix, part in self.inner.named_modules():
            # New tensors: what loading gives are views of one in the old type.
            for held in (part._parameters, part._buffers):
                for name, tensor in held.items():
                    path = f"{prefix}.{name}" if prefix else name
                    own = set(users.get(path, ())) <= set(self._kept)
                    if tensor is not None and tensor.dtype in FLOATS and not own:
                        held[name] = _lowered(tensor, self._dtype)


def _lowered(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    small = tensor.detach().to(dtype)
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(small, requires_grad=False)
    return small


class _Run(torch.fx.Interpreter):  # type: ignore[misc]
    """Runs a graph, each operation in its own precision."""

    def __init__(self, inner: Any, dtype: torch.dtype, kept: Collection[str]) -> None:
        super().__init__(inner)
        self._dtype = dtype
        self._kept = kept

    def run_node(self, n: Any) -> Any:
        """Runs one operation on arguments in its precision."""
        if n.op != "call_function":
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        dtype = torch.float32 if n.name in self._kept else self._dtype

        def own(value: Any) -> Any:
            if isinstance(value, torch.dtype):
                return dtype if value in FLOATS else value
            floating = isinstance(value, torch.Tensor) and value.dtype in FLOATS
            return value.to(dtype) if floating else value

        return self.call_function(n.target, tree_map(own, args), tree_map(own, kwargs))
