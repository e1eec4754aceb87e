"""What is compared: per format the profiles, and the toolchain in which the library is used by hand.

To add a format, add an entry to `FORMATS` and a module `benchmarks/quantization/FORMAT.py` with
`make(case, given, target)`, which writes a file or a folder, and `digits(path, pictures)`, what it takes each
for; see `by_hand`.
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
    """

    toolchain: str
    library: str
    source: str
    profiles: Mapping[str, Mapping[str, Any]]
    entry: Mapping[str, Any] = field(default_factory=dict)


FORMATS = {
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
    ),
    "coreml": Format(
        toolchain="coreml",
        library="coremltools",
        source="coreml",
        # coremltools calibrates activations on a Mac only.
        profiles={
            "weight-only-8": {"scheme": "weight-only"},
            "weight-only-8-zero-points": {"scheme": "weight-only", "symmetric": False},
        },
        entry={"options": {"minimum_deployment_target": "iOS17"}},
    ),
}
