"""Makes, in the toolchain `onnx`, models that no exporter writes: `python make_types.py FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

ROWS = 3
VALUES: dict[str, NDArray[Any]] = {
    "float32": np.array([[1.5, -2, 3], [0, 4, np.inf], [1, 1, 1]], np.float32),
    "float64": np.array([[1.5, -2, 3e200], [0, 4, 5], [1, 1, 1]], np.float64),
    "float16": np.array([[1.5, -2, 3], [0, 4, 5], [1, 1, 1]], np.float16),
    "int64": np.array([[1, -2, 2**60], [0, 4, 5], [1, 1, 1]], np.int64),
    "int32": np.array([[1, -2, 2**30], [0, 4, 5], [1, 1, 1]], np.int32),
    "uint8": np.array([[1, 2, 255], [0, 4, 5], [1, 1, 1]], np.uint8),
    "int8": np.array([[1, -2, 127], [0, 4, 5], [1, 1, 1]], np.int8),
    "bool": np.array([[True, False, True], [False] * 3, [True] * 3]),
}


def value(name: str, dtype: str) -> Any:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, ["N", 3])


def port(name: str, dtype: str) -> dict[str, Any]:
    return {"name": name, "shape": ["N", 3], "dtype": dtype, "layout": None}


def write(folder: Path, name: str, nodes: list[Any], outs: dict[str, NDArray[Any]]) -> None:
    graph = helper.make_graph(
        nodes,
        name,
        [value(f"in_{dtype}", dtype) for dtype in VALUES],
        [value(f"out_{dtype}", dtype) for dtype in outs],
    )
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("tomorrow", 1)]
    onnx.save(
        helper.make_model(graph, opset_imports=domains, ir_version=8), folder / f"{name}.onnx"
    )
    inputs = [port(f"in_{dtype}", dtype) for dtype in VALUES]
    outputs = [port(f"out_{dtype}", dtype) for dtype in outs]
    (folder / f"{name}.io.json").write_text(json.dumps({"inputs": inputs, "outputs": outputs}))
    dims = {"N": {"min": 1, "max": 64, "example": 2}}
    told = {
        "ports": [{**each, "dims": dims, "range": None} for each in inputs],
        "outputs": [each["name"] for each in outputs],
    }
    (folder / f"{name}.options.json").write_text(json.dumps(told))
    samples: dict[str, Any] = {f"in.in_{dtype}": array for dtype, array in VALUES.items()}
    samples |= {f"out.out_{dtype}": array for dtype, array in outs.items()}
    np.savez(folder / f"{name}.npz", **samples)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    same = [helper.make_node("Identity", [f"in_{dtype}"], [f"out_{dtype}"]) for dtype in VALUES]
    write(target, "types", same, VALUES)
    lost = [helper.make_node("Tomorrow", ["in_float32"], ["out_float32"], domain="tomorrow")]
    write(target, "future", [*lost, *same[1:]], VALUES)
