"""How much an artifact's outputs suffer when one layer alone is quantized.

A format takes part with a module of its folder, `layers(path, contract)`: the exact names of all
operations of a float artifact that its quantizing step can keep in float, each with whether it has
weights. Of those that have, one after the other is quantized while all other operations are kept, and the
outputs are compared with those of the float artifact in the same runtime: what differs is what that
layer's quantization costs, and nothing else.
"""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..protocol import arrays, backends
from ..protocol.contract import Contract
from ..protocol.request import Request, StepError
from ..run import batches
from ..run.signals import signal_error

FIELD = "keep_float"


@dataclass(frozen=True)
class Seen:
    """A layer, quantized alone.

    Attributes:
        name: Its exact name.
        error: `signal_error` of the output where that is worst, against the float artifact; `None`
            where the layer cannot be quantized, or an output is not a number.
        saved: By how many bytes the artifact is smaller than the float one.
        reason: Why there is no error.
    """

    name: str
    error: float | None
    saved: int
    reason: str | None = None


def measure_layers(request: Request) -> None:
    """Quantizes each layer alone, and runs what comes of it.

    Inputs: `artifact` and `io` (of the float artifact), `samples`, and what the quantizing step takes
    besides (`calibration`).
    Options: `ports`, `outputs`, `dynamic`, `step` (the quantizing step's own options), `quantize`
    (`backend.module:function`), `layers_module`, `runtime_module`, `filename` (the artifact's), `others`
    (file names of the step's other outputs).
    Outputs: `sensitivity`, JSON: `{"runtime", "layers": [{"name", "error", "saved", "reason"}]}`, in the
    order of the artifact.

    Raises:
        StepError: There is no layer, or none of them can be quantized.
    """
    options = request.options
    contract = Contract.read(request.inputs["io"])
    listing = backends.module(options["layers_module"])
    operations: dict[str, bool] = listing.layers(request.inputs["artifact"], contract)
    layers = [name for name, weighted in operations.items() if weighted]
    if not layers:
        raise StepError(
            "the float artifact has no layer with weights",
            "leave the quantization out for this model",
            "quantization",
        )
    driver = _Driver(request, contract)
    exact, runtime = driver.run(request.inputs["artifact"], contract)
    whole = _size(request.inputs["artifact"])
    seen = [driver.alone(name, list(operations), exact, whole) for name in layers]
    if all(each.error is None for each in seen):
        raise StepError(f"no layer can be quantized alone: {seen[0].reason}", None, "quantization")
    record = {"runtime": runtime, "layers": [asdict(each) for each in seen]}
    request.outputs["sensitivity"].write_text(json.dumps(record, sort_keys=True, indent=1) + "\n")


class _Driver:
    """Quantizes and runs."""

    def __init__(self, request: Request, contract: Contract) -> None:
        options = request.options
        self._request = request
        module, _, function = options["quantize"].partition(":")
        self._quantize: Callable[[Request], None] = getattr(backends.module(module), function)
        self._runtime = backends.module(options["runtime_module"])
        self._names: list[str] = options["outputs"]
        loaded = arrays.load(request.inputs["samples"])
        self._feeds = {port["name"]: loaded[port["name"]] for port in options["ports"]}
        self._plan = batches.plan(options["ports"], contract, options["dynamic"])

    def run(self, path: Path, contract: Contract) -> tuple[Mapping[str, Any], str]:
        """Outputs on the samples, and the runtime's name."""
        session = self._runtime.load(path, contract, self._request.threads)
        try:
            got = batches.run(session.run, self._feeds, self._plan, self._names)
            return got.outputs, str(session.runtime)
        finally:
            getattr(session, "close", lambda: None)()

    def alone(self, name: str, operations: list[str], exact: Mapping[str, Any], whole: int) -> Seen:
        """One layer quantized, all other operations float."""
        folder = self._request.scratch / "alone"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            path, contract = self._quantized(
                folder, [other for other in operations if other != name]
            )
        except StepError as error:
            return Seen(name, None, 0, error.message)
        got, _ = self.run(path, contract)
        errors = [signal_error(got[output], exact[output]) for output in self._names]
        saved = whole - _size(path)
        reason = next((error for error in errors if isinstance(error, str)), None)
        if reason is not None:
            return Seen(name, None, saved, reason)
        return Seen(name, max(float(error) for error in errors), saved)

    def _quantized(self, folder: Path, kept: list[str]) -> tuple[Path, Contract]:
        options = self._request.options
        step = dict(options["step"])
        settings = dict(step["quantization"])
        settings[FIELD] = [*settings.get(FIELD, ()), *(glob.escape(name) for name in kept)]
        step["quantization"] = settings
        outputs = {name: folder / filename for name, filename in options["others"].items()}
        outputs["artifact"] = folder / options["filename"]
        scratch = folder / "scratch"
        scratch.mkdir()
        # What it has to say of one layer alone is not said of the artifact: its notes are dropped.
        self._quantize(
            Request(
                {k: v for k, v in self._request.inputs.items() if k != "samples"},
                outputs,
                step,
                scratch,
                self._request.project,
                self._request.threads,
            )
        )
        return outputs["artifact"], Contract.read(outputs["io"])


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
