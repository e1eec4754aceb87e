"""Puts faults into finished artifacts; run by the interpreter of a format's toolchain.

    python -m benchmarks.faults.inject REQUEST.json

The request is `{"format": NAME, "artifacts": [{"artifact": PATH, "seed": N, "spots": N, "kinds": [NAME, …],
"out": FOLDER}]}`. What was done goes to stdout, a JSON list: of each fault `artifact`, `kind`, `number`,
`node`, `tensor`, `description`, `own` (the operation's outputs), `near` (the operation and those beside it,
with their outputs) and `out`.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.graph import Graph, Spot
from benchmarks.faults.kinds import KINDS, Kind

GRAPHS = {
    "onnx": "onnx_graph:OnnxGraph",
    "coreml": "coreml_graph:CoreMLGraph",
    "tflite": "tflite_graph:TFLiteGraph",
    "openvino": "openvino_graph:OpenVINOGraph",
}


def opened(format_name: str, path: Path) -> Graph:
    """An artifact of a format."""
    module, _, name = GRAPHS[format_name].partition(":")
    make: Any = getattr(importlib.import_module(f"benchmarks.faults.{module}"), name)
    graph: Graph = make(path)
    return graph


def spots(graph: Graph, kind: Kind, seed: int) -> list[Spot]:
    """All places for a kind of fault; the same for equal seeds."""
    return list(kind.find(graph, _generator(kind, seed)))


def _generator(kind: Kind, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, list(KINDS).index(kind.name)])


def chosen(found: list[Spot], count: int, kind: Kind, seed: int) -> list[int]:
    """Some of the places, of different operations as far as there are any."""
    order = [int(n) for n in _generator(kind, seed + 1).permutation(len(found))]
    first: dict[str, int] = {}
    for index in order:
        first.setdefault(found[index].node, index)
    others = [index for index in order if index not in first.values()]
    return [*first.values(), *others][:count]


def injected(format_name: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Writes the artifacts with faults, one a place."""
    path, seed = Path(request["artifact"]), request["seed"]
    for name in request["kinds"]:
        kind = KINDS[name]
        found = spots(opened(format_name, path), kind, seed)
        for number, index in enumerate(chosen(found, request["spots"], kind, seed)):
            graph = opened(format_name, path)
            spot = spots(graph, kind, seed)[index]
            own = [o for n in graph.nodes if n.name == spot.node for o in n.outputs]
            near = graph.near(spot.node)
            spot.apply()
            slug = "".join(c if c.isalnum() else "-" for c in name)
            out = Path(request["out"]) / f"{slug}-{number}{path.suffix}"
            graph.save(out)
            yield {
                "artifact": str(path),
                "kind": name,
                "number": number,
                "node": spot.node,
                "tensor": spot.tensor,
                "description": spot.description,
                "own": own,
                "near": near,
                "out": str(out),
            }


def main() -> None:
    """Does what the request says."""
    request = json.loads(Path(sys.argv[1]).read_text())
    made = [
        fault
        for artifact in request["artifacts"]
        for fault in injected(request["format"], artifact)
    ]
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
