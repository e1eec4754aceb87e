"""Shows every tensor of an ONNX file, in ONNX Runtime with its rewriting of graphs switched off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from ..kit.inspect.probing import Seen, Step
from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from ..kit.protocol.request import StepError
from . import dequantized
from .files import DATA, MODEL, model_file
from .runtime import ERRORS_ONLY

PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}
SHOWN = "shown"
"""The file with all values as outputs, beside its weights where those have a file of their own."""


class Probe:
    """A loaded file; see `kit.inspect.probing.Probe`.

    Subgraphs (`If`, `Loop`, `Scan`) are one step each: what is inside is not shown. Integers that stand
    for floats are shown as these.
    """

    def __init__(self, path: Path, contract: Contract, threads: int) -> None:
        model = onnx.load(model_file(path), load_external_data=False)
        graph = model.graph
        constants = {tensor.name for tensor in graph.initializer}
        constants |= {n.output[0] for n in graph.node if n.op_type == "Constant"}
        # A weight that is stored in integers is one still once it is a float.
        constants |= {
            n.output[0]
            for n in graph.node
            if n.op_type == "DequantizeLinear" and set(n.input) <= {*constants, ""}
        }
        nodes = [
            node
            for node in graph.node
            if node.op_type != "Constant" and not set(node.output) <= constants
        ]
        self.steps = [_step(number, node, constants) for number, node in enumerate(nodes)]
        self.runtime = f"onnxruntime {onnxruntime.__version__}, graph rewriting off"
        self._scales = dequantized.scales(graph)
        told = {n for each in self._scales.values() for n in (each.scale, each.zero)}
        self._numbers = {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in graph.initializer
            if tensor.name in told and tensor.data_location != tensor.EXTERNAL
        }
        self._contract = contract
        self.inputs = {p.name: p.artifact_name or p.name for p in contract.inputs}
        self.outputs = {p.name: p.artifact_name or p.name for p in contract.outputs}
        known = {value.name for value in graph.output}
        graph.output.extend(
            onnx.ValueInfoProto(name=name)
            for step in self.steps
            for name in step.outputs
            if name not in known
        )
        self._session = _session(model, path, threads)
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> Seen:
        """Runs once."""
        fed = {
            p.artifact_name or p.name: to_artifact(p, feed[p.name]) for p in self._contract.inputs
        }
        found = self._session.run(self._names, fed)
        # Sequences and maps are no tensors: what comes of them is.
        got = {n: v for n, v in zip(self._names, found, strict=True) if hasattr(v, "dtype")}
        outputs = {p.name: to_model(p, got[self.outputs[p.name]]) for p in self._contract.outputs}
        values = fed | got
        for name in self._scales.keys() & values.keys():
            floats = self._scales[name].meant(values[name], self._numbers | got)
            if floats is not None:
                values[name] = floats
        return Seen(self.steps, values, outputs)


def load(path: Path, contract: Contract, threads: int) -> Probe:
    """Loads a file, or the one in a folder with its weights.

    Raises:
        StepError: ONNX Runtime refuses it with all its values as outputs.
    """
    return Probe(path, contract, threads)


def _step(number: int, node: Any, constants: set[str]) -> Step:
    outputs = tuple(name for name in node.output if name)
    return Step(
        number,
        node.op_type,
        node.name or (outputs[0] if outputs else node.op_type),
        tuple(name for name in [*node.input, *_captured(node)] if name and name not in constants),
        outputs,
        tuple(name for name in node.input if name in constants),
    )


def _captured(node: Any) -> list[str]:
    """Values of the graph that a node's subgraphs use."""
    found: list[str] = []
    for attribute in node.attribute:
        graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
        for graph in graphs:
            own = {v.name for v in graph.input} | {t.name for t in graph.initializer}
            own |= {name for inner in graph.node for name in inner.output}
            used = [n for inner in graph.node for n in [*inner.input, *_captured(inner)]]
            found += [name for name in used if name and name not in own]
    return found


def _session(model: Any, path: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = ERRORS_ONLY
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = ["CPUExecutionProvider"]
    try:
        if not path.is_dir():
            given = model.SerializeToString()
            return onnxruntime.InferenceSession(given, options, providers=providers)
        # Weights in a file of their own are found beside the graph's file only.
        folder = Path(SHOWN)
        folder.mkdir()
        (folder / MODEL).write_bytes(model.SerializeToString())
        (folder / DATA).symlink_to((path / DATA).absolute())
        return onnxruntime.InferenceSession(str(folder / MODEL), options, providers=providers)
    except Exception as error:
        raise StepError(
            f"onnxruntime {onnxruntime.__version__} does not show the file's values: {error}"
        ) from error
