"""Finds out what a model gives: output shapes with their symbols, by running it at several sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..protocol import ports as ports_of
from ..protocol.contract import Contract, Port
from ..protocol.ports import Sizes
from ..protocol.request import StepError

Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        contract: Inputs as declared, outputs as they are.
        sizes: The size of each symbol that the model was run at first.
        others: Each symbol that may vary to another size that the model takes.
    """

    contract: Contract
    sizes: Sizes
    others: Sizes


def capture_sizes(ports: list[dict[str, Any]], dynamic: bool) -> Sizes:
    """The sizes to capture a graph with.

    A size of one is taken for a constant by exporters and hides broadcasts from tracing, so what may
    vary is captured at two or more. Sizes that are to be fixed are the example's.
    """
    sizes = ports_of.example_sizes(ports)
    if dynamic:
        for symbol, dim in ports_of.symbols(ports).items():
            sizes[symbol] = min(max(2, sizes[symbol]), dim["max"])
    return sizes


def survey(
    run: Run,
    ports: list[dict[str, Any]],
    names: list[str],
    dynamic: bool,
    layouts: Mapping[str, str] | None = None,
) -> Survey:
    """Runs the model at the capture sizes and, where sizes may vary, at one more size of each symbol.

    Args:
        run: Runs the model; it raises where the model does not take the inputs.
        ports: The request's ports.
        names: The outputs, in the recipe's order.
        dynamic: Whether sizes may vary; otherwise they are fixed at the example's.
        layouts: What the recipe says of the axes of outputs.

    Raises:
        StepError: The model takes no other size of a symbol.
    """
    sizes = capture_sizes(ports, dynamic)
    base = run(ports_of.random_feed(ports, sizes, seed=0))
    others: Sizes = {}
    probed: dict[str, dict[str, NDArray[Any]]] = {}
    for symbol, dim in ports_of.symbols(ports).items() if dynamic else ():
        others[symbol], probed[symbol] = _probe(run, ports, sizes, symbol, dim)
    outputs = []
    for name in names:
        probes = {s: (got[name].shape, others[s]) for s, got in probed.items()}
        if any(len(shape) != base[name].ndim for shape, _ in probes.values()):
            raise StepError(
                f"output `{name}` has another number of axes at other sizes",
                "avoid `squeeze()` without an axis: it also drops a batch of one",
                "outputs",
            )
        shape = ports_of.symbolic(base[name].shape, sizes, probes)
        outputs.append(Port(name, shape, base[name].dtype.name, (layouts or {}).get(name)))
    return Survey(Contract(input_ports(ports, dynamic), outputs), sizes, others)


def input_ports(ports: list[dict[str, Any]], dynamic: bool) -> list[Port]:
    """The declared inputs as an artifact has them that keeps dynamic sizes, or fixes them."""
    varying = ports_of.symbols(ports) if dynamic else {}
    found = []
    for port in ports:
        dims = port["dims"]
        shape = [
            dims[size]["example"] if isinstance(size, str) and size not in varying else size
            for size in port["shape"]
        ]
        found.append(Port(port["name"], shape, np.dtype(port["dtype"]).name, port["layout"]))
    return found


def _probe(
    run: Run, ports: list[dict[str, Any]], sizes: Sizes, symbol: str, dim: dict[str, int]
) -> tuple[int, dict[str, NDArray[Any]]]:
    refusal: Exception | None = None
    for size in ports_of.other_sizes(dim, sizes[symbol]):
        try:
            return size, run(ports_of.random_feed(ports, {**sizes, symbol: size}, seed=0))
        except Exception as error:
            refusal = refusal or error
    raise StepError(
        f"the model takes {sizes[symbol]} for `{symbol}`, and no other size that was tried: {refusal}",
        f"if `{symbol}` does not really vary, write {sizes[symbol]} in the shape instead",
        "inputs",
    ) from refusal
