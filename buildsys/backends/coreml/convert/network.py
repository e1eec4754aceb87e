"""Makes neural networks (`.mlmodel`), which iOS 13 and 14 load, of captured models."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from ...kit.protocol import ports as ports_of
from ...kit.protocol.archive import kind_of
from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request
from .. import package as packages
from ..canonical import canonicalise_file
from ..libraries import ct, torch
from . import classes, images
from .conversion import converted, describe_model, load
from .ports import contract_for

PRELOAD = {"convert": ("multiprocessing.synchronize", "numpy.random")}
"""What each step imports late; see `toolchains/inside/forks.py`."""


def convert(request: Request) -> None:
    """Makes a neural network from TorchScript or an exported program; sizes are fixed.

    Raises:
        StepError: An operator or a dtype has no Core ML counterpart.
    """
    source = request.inputs["artifact"]
    contract = contract_for(request, Contract.read(request.inputs["io"]))
    _fix_output_shapes(request, source, contract)
    pictures = images.asked(request, contract)
    given = {port["name"]: port["dtype"] for port in request.options["ports"]}
    inputs = [
        pictures[port.name].type_of(port)
        if port.name in pictures
        else ct.TensorType(
            name=port.artifact_name or port.name,
            shape=port.shape,
            # What indices are has to be said, though the file will take float32.
            dtype=np.int32 if np.issubdtype(given[port.name], np.integer) else np.float32,
        )
        for port in contract.inputs
    ]
    model = converted(
        load(source),
        convert_to="neuralnetwork",
        inputs=inputs,
        # A neural network gives what its last layer does: float32, or int32 after an argmax.
        outputs=[ct.TensorType(name=port.artifact_name or port.name) for port in contract.outputs],
        classifier_config=classes.config(request, contract),
        minimum_deployment_target=ct.target.iOS14,
        skip_model_load=True,
    )
    if request.options["scheme"] == "float16":
        with contextlib.redirect_stdout(io.StringIO()):
            model = ct.models.neural_network.quantization_utils.quantize_weights(model, 16)
    images.declare(request, contract, pictures)
    described = {port.artifact_name or port.name for port in contract.inputs}
    describe_model(model, request, contract, described)
    target = request.outputs["artifact"]
    model.save(str(target))
    canonicalise_file(target)
    packages.take_output_types(request, contract, packages.read_spec(target).description)
    classes.declare(request, contract, packages.read_spec(target).description)
    packages.check(target, contract)
    contract.write(request.outputs["io"])


def _fix_output_shapes(request: Request, source: Path, contract: Contract) -> None:
    """Outputs at the example's sizes: a neural network does not declare them itself."""
    ports: list[dict[str, Any]] = request.options["ports"]
    feed = ports_of.random_feed(ports, ports_of.example_sizes(ports), seed=0)
    module = load(source)
    module = module.module() if kind_of(source) == "exported" else module
    with torch.inference_mode():
        made = module(*(torch.from_numpy(feed[port["name"]]) for port in ports))
    for port, tensor in zip(contract.outputs, torch.utils._pytree.tree_leaves(made), strict=True):
        port.shape = list(tensor.shape)
