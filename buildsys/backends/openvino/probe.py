"""Shows every tensor of an OpenVINO model on the CPU, each made a result of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ..kit.inspect.probing import Seen, Step
from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from . import failures, ir
from .runtime import SETTINGS

PRELOAD = {"load": ("encodings.cp437", "numpy.ma")}
CONSTANT, NOT_STEPS = "Constant", ("Parameter", "Result", "Constant")


class Probe:
    """A loaded model; see `kit.inspect.probing.Probe`.

    The CPU plugin fuses less where every value is a result, so that what is seen is the model, not all
    that the plugin makes of it.
    """

    def __init__(self, path: Path, contract: Contract, threads: int) -> None:
        core = ov.Core()
        try:
            model = core.read_model(path / ir.XML)
            ops = model.get_ordered_ops()
            self._known: set[str] = set()
            constants: set[str] = set()
            self.steps: list[Step] = []
            for op in ops:
                kind = op.get_type_name()
                names = [_name(output) for output in op.outputs()]
                given = [_name(port.get_source_output()) for port in op.inputs()]
                # What is computed of constants alone (a weight that is stored in fewer bits) is one.
                if kind == CONSTANT or (given and set(given) <= constants):
                    constants.update(names)
                elif kind not in NOT_STEPS:
                    self.steps.append(
                        Step(
                            len(self.steps),
                            kind,
                            op.get_friendly_name(),
                            tuple(name for name in given if name not in constants),
                            tuple(names),
                            tuple(name for name in given if name in constants),
                        )
                    )
            shown = {name for step in self.steps for name in step.outputs}
            parameters, results = model.get_parameters(), model.get_results()
            self._contract = contract
            self._count = len(results)
            ports = contract.inputs
            self.inputs = {
                p.name: _name(node.output(0)) for p, node in zip(ports, parameters, strict=True)
            }
            self.outputs = {
                p.name: _name(node.input(0).get_source_output())
                for p, node in zip(contract.outputs, results, strict=True)
            }
            wanted = [o for op in ops for o in op.outputs() if _name(o) in shown]
            self._names = [_name(output) for output in wanted]
            model.add_outputs(wanted)
            compiled = core.compile_model(
                model, "CPU", {**SETTINGS, "INFERENCE_NUM_THREADS": threads}
            )
        except RuntimeError as error:
            raise failures.of_load(error) from error
        self.runtime = f"openvino {ov.__version__.partition('-')[0]}, every value a result"
        self._request = compiled.create_infer_request()

    def run(self, feed: Mapping[str, NDArray[Any]]) -> Seen:
        """Runs once."""
        fed = [to_artifact(port, feed[port.name]) for port in self._contract.inputs]
        try:
            self._request.infer(fed, share_inputs=False)
        except RuntimeError as error:
            raise failures.of_run(error, fed) from error
        found = [np.array(tensor.data) for tensor in self._request.output_tensors]
        values = dict(zip(self.inputs.values(), fed, strict=True))
        values |= dict(zip(self._names, found[self._count :], strict=False))
        outputs = {
            port.name: to_model(port, array)
            for port, array in zip(self._contract.outputs, found, strict=False)
        }
        for port, array in zip(self._contract.outputs, found, strict=False):
            values.setdefault(self.outputs[port.name], array)
        return Seen(self.steps, values, outputs)


def load(path: Path, contract: Contract, threads: int) -> Probe:
    """Loads a model for the CPU.

    Raises:
        StepError: OpenVINO refuses it.
    """
    return Probe(path, contract, threads)


def _name(output: Any) -> str:
    """A value's name, as it is in the file: its operation's, and its number among several."""
    node = output.get_node()
    name = str(node.get_friendly_name())
    return name if node.get_output_size() == 1 else f"{name}.{output.get_index()}"
