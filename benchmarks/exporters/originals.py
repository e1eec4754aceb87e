"""Runs original models on a few inputs; a step of `steps.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from buildsys.backends.kit.protocol import ports as ports_of
from buildsys.backends.kit.protocol.request import Request
from buildsys.backends.torch.original import model


def run(request: Request) -> None:
    """Writes inputs (`0.in.NAME`, …) and the original's outputs (`0.out.NAME`, …) at two sizes."""
    eager = model.load(request)
    ports = request.options["ports"]
    sizes = ports_of.example_sizes(ports)
    larger = {s: min(sizes[s] + 2, dim["max"]) for s, dim in ports_of.symbols(ports).items()}
    kept: dict[str, Any] = {}
    for number, at in enumerate((sizes, sizes | larger)):
        feed = ports_of.random_feed(ports, at, seed=number)
        kept.update({f"{number}.in.{name}": value for name, value in feed.items()})
        outputs = eager.run(feed)
        kept.update({f"{number}.out.{name}": value for name, value in outputs.items()})
    np.savez(request.outputs["artifact"], **kept)
