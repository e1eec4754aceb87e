"""ai-edge-quantizer as its own documentation uses it, and LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import qtyping, quantizer
from numpy.typing import NDArray

from benchmarks.quantization.by_hand import Given

ALL = qtyping.TFLOperationName.ALL_SUPPORTED
SIGNATURE = "serving_default"


def make(case: str, given: Given, target: Path) -> None:
    """Writes one quantized file."""
    tool = quantizer.Quantizer(str(given.source))
    scheme, _, bits = case.rpartition("-")
    ranges = None
    if case == "float16":
        tool.add_weight_only_config(
            ".*", ALL, num_bits=16, algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING
        )
    elif scheme == "weight-only":
        tool.add_weight_only_config(".*", ALL, num_bits=int(bits))
    elif scheme == "dynamic":
        tool.add_dynamic_config(".*", ALL, num_bits=int(bits))
    else:
        tool.add_static_config(".*", ALL, activation_num_bits=int(bits), weight_num_bits=8)
        # Ours keeps float inputs and outputs, and equal settings are to be compared.
        for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            tool.update_quantization_recipe(
                ".*", border, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE
            )
        data = [{"image": picture[None]} for picture in given.calibration]
        ranges = tool.calibrate({SIGNATURE: data})
    target.write_bytes(tool.quantize(ranges).quantized_model)


def logits(path: Path, pictures: NDArray[Any]) -> NDArray[Any]:
    """What a file gives for each picture."""
    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
    runner = interpreter.get_signature_runner(SIGNATURE)
    found = [next(iter(runner(image=picture[None]).values())) for picture in pictures]
    values: NDArray[Any] = np.concatenate(found)
    return values
