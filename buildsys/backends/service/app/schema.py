"""The io contract as OpenAPI tells it."""

from __future__ import annotations

from typing import Any

from .settings import Interface

LEAVES = {"f": "number", "i": "integer", "u": "integer", "b": "boolean"}


def predict(interface: Interface) -> dict[str, Any]:
    """Request and answer of `/predict`."""
    request = _object({"inputs": _tensors(interface.inputs)})
    model = _object({"name": _text(), "release": _text(null=True), "sha256": _text()})
    answer = _object({"outputs": _tensors(interface.outputs), "model": model})
    refusal = _object({"detail": _text(), "input": _text(null=True), "model": model})
    return {
        "requestBody": {"required": True, "content": _json(request)},
        "responses": {
            "200": {"description": "The outputs.", "content": _json(answer)},
            "408": {"description": "The body came too slowly.", "content": _json(refusal)},
            "413": {"description": "The body is too large.", "content": _json(refusal)},
            "422": {"description": "Not what the contract says.", "content": _json(refusal)},
        },
    }


def _tensors(ports: list[dict[str, Any]]) -> dict[str, Any]:
    return _object({port["name"]: _tensor(port) for port in ports})


def _tensor(port: dict[str, Any]) -> dict[str, Any]:
    kind = "boolean" if port["dtype"] == "bool" else LEAVES[port["dtype"][0]]
    found: dict[str, Any] = {"type": kind}
    for size in reversed(port["shape"]):
        dim = port.get("dims", {}).get(size)
        bounds = (size, size) if isinstance(size, int) else (dim["min"], dim["max"]) if dim else ()
        found = {"type": "array", "items": found}
        if bounds:
            found |= {"minItems": bounds[0], "maxItems": bounds[1]}
    return {**found, "description": f"{port['dtype']} {port['shape']}"}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    required = list(properties)
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _text(null: bool = False) -> dict[str, Any]:
    return {"type": ["string", "null"] if null else "string"}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
