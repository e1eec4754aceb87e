"""A SavedModel to TensorFlow.js, by tensorflowjs."""

from __future__ import annotations

import json
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ..kit.protocol import ports
from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.names import note_dtype
from ..kit.protocol.request import Request, StepError
from . import saved_model, stubs, tfjs_runtime

stubs.put()
# tensorflow-hub's, which is pinned with the setuptools that it can do with.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated as an API")

from tensorflowjs.converters import tf_saved_model_conversion_v2 as tensorflowjs  # noqa: E402

MODEL = "model.json"
WHAT = "TensorFlow.js model"
WAY_OUT = "take `format: onnx_web`, which runs the ONNX model as it is in a browser"
SEEDS = (0, 1)
RELATIVE = 1e-3
"""How far outputs may lie from TensorFlow's, by the largest: loose, to find a wrong one, not rounding."""


def convert(request: Request) -> None:
    """Makes `model.json` and its shards of weights; names are the SavedModel's.

    Inputs: `artifact` (a SavedModel of this backend), `io`. Options: `ports`.

    Raises:
        StepError: TensorFlow.js lacks an operator, does not load the model, or computes something else.
    """
    saved_model.use_threads(1)  # Constants are folded: a sum's last digit depends on the threads.
    source = Contract.read(request.inputs["io"])
    given = saved_model.graph_of(request.inputs["artifact"])
    signature = given.signature_def[saved_model.SIGNATURE]
    folder = request.outputs["artifact"]
    folder.mkdir()
    graph = saved_model.imported(given.graph_def)
    try:
        optimized = tensorflowjs.optimize_graph(graph, signature)
    except ValueError as error:
        said = " ".join(str(error).split())
        raise StepError(f"TensorFlow.js lacks operators: {said}", WAY_OUT, "format") from error
    # Its converter would find the names again by types and shapes, and give up where two agree: here
    # the nodes have the names, so that the signature goes over as it is.
    weights = tensorflowjs.extract_weights(optimized)  # It takes them out of the graph.
    tensorflowjs.write_artifacts(
        tensorflowjs.MessageToDict(optimized),
        weights,
        str(folder / MODEL),
        saved_model.VERSION,
        signature,
    )
    _make_canonical(folder / MODEL)
    contract = Contract(
        [_port(request, "input", port) for port in source.inputs],
        [_port(request, "output", port) for port in source.outputs],
    )
    _check(request, source, contract)
    contract.write(request.outputs["io"])


def _make_canonical(path: Path) -> None:
    """Sorts what comes from protobuf's maps."""
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told, sort_keys=True, separators=(",", ":")) + "\n")


def _port(request: Request, kind: str, port: Port) -> Port:
    dtype = tfjs_runtime.dtype(port.dtype)
    note_dtype(request, kind, port.name, port.dtype, dtype, WHAT)
    return Port(port.name, port.shape, dtype, port.layout, port.artifact_name)


def _check(request: Request, source: Contract, contract: Contract) -> None:
    """Runs the SavedModel and what was made of it on the same random inputs."""
    original = saved_model.Signature(request.inputs["artifact"])
    specs = request.options["ports"]
    sizes = ports.example_sizes(specs)
    feeds = [ports.random_feed(specs, sizes, seed) for seed in SEEDS]
    with closing(tfjs_runtime.load(request.outputs["artifact"], contract, 1)) as made:
        runs = [made.run(feed) for feed in feeds]
    for feed, found in zip(feeds, runs, strict=True):
        expected = original.run(
            {p.artifact_name or p.name: ports.to_artifact(p, feed[p.name]) for p in source.inputs}
        )
        for port in source.outputs:
            wanted, got = expected[port.artifact_name or port.name], found[port.name]
            if got.shape != wanted.shape or not _close(wanted, got):
                raise StepError(
                    f"TensorFlow.js computes other values of `{port.name}` than TensorFlow",
                    WAY_OUT,
                    "format",
                )


def _close(expected: Any, found: Any) -> bool:
    if not np.issubdtype(expected.dtype, np.floating):
        return bool(np.array_equal(expected, found))
    scale = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0))
    return bool(np.allclose(expected, found, rtol=0, atol=RELATIVE * scale + 1e-6, equal_nan=True))
