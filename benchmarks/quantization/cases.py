"""What is compared: per format the profiles, and the toolchain in which the library is used by hand.

To add a format, add an entry to `FORMATS` and a module `benchmarks/quantization/FORMAT.py` with
`make(case, given, target)`, which writes a file or a folder, and `logits(path, pictures)`, what it gives for
each, of the float file as well; see `by_hand`. What is not compared stands in `LEFT_OUT` with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COUNT = 128
"""Samples of calibration."""


def static(method: str, **more: Any) -> dict[str, Any]:
    """A static profile with the library's own way to take ranges."""
    ways = {"dataset": "calibration", "count": COUNT, "method": method}
    return {"scheme": "static", "calibration": ways, **more}


@dataclass(frozen=True)
class Format:
    """A format's part.

    Attributes:
        toolchain: Where its library and its runtime are.
        library: What is used by hand.
        source: The format of the file that both start from.
        profiles: Case to the profile that says the same as what is done by hand.
        entry: What else the recipe's entry says.
        smaller: Why what we make is smaller by more than a hundredth, where it is.
    """

    toolchain: str
    library: str
    source: str
    profiles: Mapping[str, Mapping[str, Any]]
    entry: Mapping[str, Any] = field(default_factory=dict)
    smaller: str = ""


FORMATS = {
    "onnx": Format(
        # What the quantizer's documentation lets go before infers shapes with sympy.
        toolchain="onnx-optimize",
        library="onnxruntime.quantization",
        source="onnx",
        profiles={
            "float16": {"scheme": "float16"},
            "dynamic-8": {"scheme": "dynamic"},
            "static-8": static("min-max"),
            "static-8-tensor": static("min-max", per_channel=False),
            "static-8-symmetric": static("min-max", activations="int8", symmetric=True),
            "static-16": static("min-max", activations="int16"),
            "static-4": static("min-max", bits=4),
        },
        smaller="the shapes of inner tensors are left out, which the library writes into the file and ONNX "
        "Runtime infers anyway, with the names of nodes that only quantize, zero points of biases, and "
        "operator sets that nothing uses; constants that are equal are one, and names are shorter. With "
        "`static` weights and ranges are the same, and the product that gives the logits is not rounded "
        "once more, so that they err less. With `dynamic`, convolutions have integers as "
        "weights alone, with a scale a channel, and not the library's integer arithmetic, which has one "
        "scale a tensor and five more operators for each",
    ),
    "tflite": Format(
        toolchain="tflite",
        library="ai-edge-quantizer",
        source="tflite",
        profiles={
            "float16": {"scheme": "float16"},
            "weight-only-8": {"scheme": "weight-only"},
            "weight-only-4": {"scheme": "weight-only", "bits": 4},
            "dynamic-8": {"scheme": "dynamic"},
            "dynamic-4": {"scheme": "dynamic", "bits": 4},
            "static-8": static("moving-average"),
            "static-16": static("moving-average", activations="int16"),
        },
        entry={"route": "onnx"},
    ),
    "executorch": Format(
        toolchain="executorch",
        library="torchao",
        source="exported",
        # torchao's histograms look for the least squared error.
        profiles={
            "static-8": static("mse"),
            "static-8-tensor": static("mse", per_channel=False),
            "dynamic-8": {"scheme": "dynamic"},
            "dynamic-4": {"scheme": "dynamic", "bits": 4},
        },
    ),
    "openvino": Format(
        toolchain="openvino",
        library="nncf",
        source="openvino",
        profiles={
            "weight-only-8": {"scheme": "weight-only"},
            "weight-only-4": {"scheme": "weight-only", "bits": 4},
            "static-8": static("min-max"),
        },
        smaller="`model.xml` holds what OpenVINO's reader reads: no sizes of ports, defaults, inner names of "
        "tensors, indentation and settings of NNCF; quantizers share equal numbers, and do the ReLU and the "
        "standardisation before them, as the CPU plugin has it when it loads; `model.bin` has the same size",
    ),
    "coreml": Format(
        toolchain="coreml",
        library="coremltools",
        source="coreml",
        # Its k-means needs scikit-learn, which the toolchain does not have: ours are the project's own.
        profiles={
            "weight-only-8": {"scheme": "weight-only"},
            "weight-only-8-tensor": {"scheme": "weight-only", "per_channel": False},
            "weight-only-8-zero-points": {"scheme": "weight-only", "symmetric": False},
            "palette-4-uniform": {"scheme": "weight-only", "palette": "uniform", "bits": 4},
            "pruned-half": {"scheme": "weight-only", "sparsity": 0.5},
        },
        entry={"options": {"minimum_deployment_target": "iOS17"}},
    ),
}

ANY = "*"
LEFT_OUT = {
    (ANY, "mixed"): "each layer is made as by the scheme that its profile has",
    ("onnx_web", ANY): "its model is the quantized ONNX file",
    ("ort", ANY): "it is made of the quantized ONNX file",
    ("exported", ANY): "torch casts weights itself, and no quantizer is used",
    ("onnx", "weight-only"): (
        "the library's quantizer of weights alone, `MatMulNBitsQuantizer`, takes `MatMul` and `Gather`, and "
        "`digits` has neither: it would leave the file as it is; a test holds that of a matrix in blocks of "
        "4 bits ours are its integers"
    ),
    ("coreml", "static"): "coremltools takes ranges of activations on a Mac only",
}
"""Why what a library makes is not compared: format (or any) and scheme (or any) to the reason."""


def left_out(name: str, scheme: str) -> str | None:
    """Why a scheme of a format is not compared; `None` where it should be."""
    keys = ((name, scheme), (name, ANY), (ANY, scheme))
    return next((LEFT_OUT[key] for key in keys if key in LEFT_OUT), None)


def compared(name: str) -> set[str]:
    """The schemes of a format that are compared."""
    declared = FORMATS.get(name)
    return {profile["scheme"] for profile in declared.profiles.values()} if declared else set()
