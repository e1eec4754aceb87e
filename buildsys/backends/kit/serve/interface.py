"""What a server knows of its model: `io.json` within a package that serves; see `wire.decode`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from ..protocol.contract import Contract
from ..protocol.ports import model_shape

TOLD = ("preprocess", "labels")
"""What only the recipe knows of a port, and only a finished package carries."""


def interface(
    contract: Contract, ports: list[dict[str, Any]], metadata: dict[str, Any], model: bytes
) -> dict[str, Any]:
    """The record.

    Args:
        contract: The model's own, as its file has it.
        ports: The request's ports.
        metadata: The request's names of project, model and release.
        model: The file's bytes.

    Returns:
        `model` (`name`, `release`, `sha256`), `inputs` and `outputs`: the contract's ports with the
        model's own axes, the inputs with `dims` and `range` besides.
    """
    declared = {port["name"]: port for port in ports}
    inputs, outputs = (
        [asdict(port) | {"shape": model_shape(port)} for port in side]
        for side in (contract.inputs, contract.outputs)
    )
    for port in inputs:
        own = declared[port["name"]]
        port["dims"] = {
            symbol: {"min": dim["min"], "max": dim["max"]}
            for symbol, dim in own["dims"].items()
            if symbol in port["shape"]
        }
        # Floats beyond what samples are drawn from are no error; indices beyond a table are.
        port["range"] = own["range"] if "int" in port["dtype"] else None
    return {
        "model": {
            "name": metadata["model"],
            "release": metadata["version"] or None,
            "sha256": hashlib.sha256(model).hexdigest(),
        },
        "inputs": inputs,
        "outputs": outputs,
    }


def tell(record: dict[str, Any], contract: Contract) -> dict[str, Any]:
    """The record with preprocessing and labels as a completed contract has them."""
    known = {port.name: asdict(port) for port in (*contract.inputs, *contract.outputs)}
    sides = {
        side: [port | {part: known[port["name"]][part] for part in TOLD} for port in record[side]]
        for side in ("inputs", "outputs")
    }
    return record | sides


def text(record: dict[str, Any]) -> str:
    """A record as JSON, byte for byte the same for an equal one."""
    return json.dumps(record, sort_keys=True, indent=1) + "\n"
