"""Inputs at the edges, as the original is fed them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.protocol.arrays import Arrays
from buildsys.backends.kit.protocol.request import Request
from buildsys.backends.kit.run import batches, edges
from tests.support.harness import port

PORTS = [port("x", [6])]
SAMPLES: Arrays = {"x": np.arange(24, dtype=np.float32).reshape(4, 6)}


def distinct(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """As ONNX's `Unique`: values decide the size of the output."""
    return {"y": np.unique(feed["x"])}


def test_an_output_whose_size_values_decide_has_no_near_ones() -> None:
    """All is equal at an edge; moved a little, draws round to more or fewer numbers.

    The build ended with numpy's own error before.
    """
    request = Request({}, {}, {"ports": PORTS}, Path())
    plan = batches.plan(PORTS, None, dynamic=False)
    fed, given = edges.original(distinct, SAMPLES, plan, request, ["y"])
    assert given["zeros/y"].shape == (1, 1)
    assert {name for name in given if edges.NEARLY in name} <= {"zeros~/y"}
    assert fed.keys() == {"zeros/x", "most/x"}
