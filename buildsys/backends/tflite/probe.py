"""Shows every tensor of a TFLite file, by LiteRT's reference interpreter without delegates."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from ..kit.inspect.probing import Seen, Step
from ..kit.protocol import ports
from ..kit.protocol.contract import Contract
from ..kit.protocol.request import StepError
from .signature import DEFAULT

PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}
DELEGATED = "DELEGATE"


class Probe:
    """A loaded file; see `kit.inspect.probing.Probe`. Quantized values are shown as what they stand for.

    Values that have one name are told apart by their number in the file.
    """

    def __init__(self, path: Path, contract: Contract, threads: int) -> None:
        try:
            self._interpreter = Interpreter(
                str(path),
                num_threads=threads,
                experimental_preserve_all_tensors=True,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise StepError(
                f"LiteRT does not load the file: {' '.join(str(error).split())}"
            ) from error
        self.runtime = f"ai-edge-litert {version('ai-edge-litert')}, without delegates"
        self._contract = contract
        runner = self._interpreter.get_signature_runner(DEFAULT)
        taken, given = runner.get_input_details(), runner.get_output_details()
        self._details = {d["index"]: d for d in self._interpreter.get_tensor_details()}
        names = [detail["name"] for detail in self._details.values()]
        self._names = {
            index: detail["name"]
            if detail["name"] and names.count(detail["name"]) == 1
            else f"{detail['name']}#{index}"
            for index, detail in self._details.items()
        }
        self._fed = {p.name: taken[p.artifact_name or p.name]["index"] for p in contract.inputs}
        self._given = {p.name: given[p.artifact_name or p.name]["index"] for p in contract.outputs}
        self.inputs = {name: self._names[index] for name, index in self._fed.items()}
        self.outputs = {name: self._names[index] for name, index in self._given.items()}
        computed = set(self._fed.values())
        self.steps = []
        for op in self._interpreter._get_ops_details():
            if op["op_name"] == DELEGATED:
                continue
            outputs = [int(i) for i in op["outputs"] if int(i) >= 0]
            inputs = [int(i) for i in op["inputs"] if int(i) >= 0]
            computed.update(outputs)
            self.steps.append(
                Step(
                    int(op["index"]),
                    op["op_name"],
                    self._names[outputs[0]] if outputs else op["op_name"],
                    tuple(self._names[i] for i in inputs if i in computed),
                    tuple(self._names[i] for i in outputs),
                    tuple(self._names[i] for i in inputs if i not in computed),
                )
            )
        self._computed = computed

    def run(self, feed: Mapping[str, NDArray[Any]]) -> Seen:
        """Runs once."""
        for port in self._contract.inputs:
            array = ports.to_artifact(port, feed[port.name])
            self._interpreter.set_tensor(self._fed[port.name], array)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise StepError(
                f"LiteRT does not run the file: {' '.join(str(error).split())}"
            ) from error
        values = {}
        for index in self._computed:
            try:
                array = self._interpreter.get_tensor(index)
            except ValueError:
                continue  # It has no memory: nothing in this run needs it.
            values[self._names[index]] = _meant(np.array(array), self._details[index])
        outputs = {
            port.name: ports.to_model(
                port, np.array(self._interpreter.get_tensor(self._given[port.name]))
            )
            for port in self._contract.outputs
        }
        return Seen(self.steps, values, outputs)


def load(path: Path, contract: Contract, threads: int) -> Probe:
    """Loads a file.

    Raises:
        StepError: LiteRT refuses it.
    """
    return Probe(path, contract, threads)


def _meant(array: NDArray[Any], detail: Mapping[str, Any]) -> NDArray[Any]:
    """What a tensor's whole numbers stand for; the tensor itself where it is not quantized."""
    told = detail["quantization_parameters"]
    scales = told["scales"]
    if array.dtype.kind not in "iu" or not len(scales):
        return array
    shape = [1] * array.ndim
    if len(scales) > 1:
        shape[told["quantized_dimension"]] = len(scales)
    zeros = told["zero_points"].reshape(shape).astype(np.float32)
    found: NDArray[Any] = (array.astype(np.float32) - zeros) * scales.reshape(shape)
    return found
