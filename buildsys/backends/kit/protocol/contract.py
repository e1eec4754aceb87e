"""The io contract: what goes into an artifact and what comes out, as it really is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Port:
    """One input or output.

    Attributes:
        name: The recipe's name. The artifact answers to it unless `artifact_name` differs.
        shape: Sizes; a string is a dynamic dim's name. As the artifact has them.
        dtype: numpy's name, as the artifact has it.
        layout: For example `NCHW`, or `None`.
        artifact_name: The tensor's name inside the artifact.
        permutation: `None`, or how the model's axes are permuted in the artifact:
            `artifact_array = model_array.transpose(permutation)`. Empty, where the model has one number
            without axes and the artifact has it as an array of one.
        kind: What an app hands over: `array`; `image`, a picture with values from 0 to 255, which the
            artifact scales itself; `label`, the best class as a string; `probabilities`, a
            dictionary from class to number.
        preprocess: How a picture becomes the array of `kind` `array`, in the recipe's words (`size`,
            `fit`, `crop_fraction`, `interpolation`, `color`, `scale`, `mean`, `std`, `layout`); the
            layout is that of the model, before `permutation`. `None`: the recipe does not say.
        labels: Names of the classes along the model's last axis; `None`: the recipe does not say.
    """

    name: str
    shape: list[int | str]
    dtype: str
    layout: str | None = None
    artifact_name: str | None = None
    permutation: list[int] | None = None
    kind: str = "array"
    preprocess: dict[str, Any] | None = None
    labels: list[str] | None = None


@dataclass
class Contract:
    """Inputs and outputs in the model's order."""

    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Contract:
        """Reads `io.json`."""
        raw: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())
        return cls([Port(**p) for p in raw["inputs"]], [Port(**p) for p in raw["outputs"]])

    def write(self, path: Path) -> None:
        """Writes `io.json`, byte for byte the same for an equal contract."""
        path.write_text(json.dumps(asdict(self), sort_keys=True, indent=1) + "\n")

    def text(self) -> str:
        """The contract as one line of JSON, as artifacts carry it."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
