"""The io contract: names, shapes, dtypes and layouts of an artifact, as they really are."""

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
            `artifact_array = model_array.transpose(permutation)`.
    """

    name: str
    shape: list[int | str]
    dtype: str
    layout: str | None = None
    artifact_name: str | None = None
    permutation: list[int] | None = None


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
