"""torchao's PT2E with ExecuTorch's quantizer, as ExecuTorch's own documentation uses them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from numpy.typing import NDArray
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from benchmarks.quantization.by_hand import Given

BATCH = torch.export.Dim("N", min=1, max=64)
LINEAR = torch.ops.aten.linear.default


def make(case: str, given: Given, target: Path) -> None:
    """Writes one quantized file."""
    quantizer = XNNPACKQuantizer()
    if case.startswith("dynamic"):
        width = {"weight_qmin": -8, "weight_qmax": 7} if case.endswith("4") else {}
        config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True, **width)
        quantizer.set_operator_type(LINEAR, config)
    else:
        channels = not case.endswith("tensor")
        quantizer.set_global(get_symmetric_quantization_config(is_per_channel=channels))
    program = torch.export.load(io.BytesIO(given.source.read_bytes()))
    with torch.no_grad():
        prepared = prepare_pt2e(program.module(), quantizer)
        for picture in given.calibration:
            prepared(torch.from_numpy(picture[None]))
        module = convert_pt2e(prepared)
        example = (torch.from_numpy(given.calibration[:2]),)
        again = torch.export.export(module, example, dynamic_shapes=({0: BATCH},))
        lowered = to_edge_transform_and_lower(again, partitioner=[XnnpackPartitioner()])
    target.write_bytes(lowered.to_executorch().buffer)


def logits(path: Path, pictures: NDArray[Any]) -> NDArray[Any]:
    """What a file gives for each picture."""
    if path.suffix == ".pt2":  # The float program that both start from.
        exported = torch.export.load(io.BytesIO(path.read_bytes())).module()
        with torch.no_grad():
            run = [exported(torch.from_numpy(picture[None])).numpy() for picture in pictures]
        return np.concatenate(run)
    data = path.read_bytes()  # Neither the program nor its method keeps what it was loaded from.
    program = Runtime.get().load_program(data)
    method = program.load_method("forward")
    found = [method.execute([torch.from_numpy(picture[None])])[0].numpy() for picture in pictures]
    values: NDArray[Any] = np.concatenate([each.copy() for each in found])
    return values
