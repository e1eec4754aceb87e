"""Writes an ONNX file with two `MatMulNBits`, and what ONNX Runtime makes of their matrices: FOLDER.

The first has zero points and blocks that its rows fill; the second neither.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

ROWS, BLOCK, BITS = 5, 16, 4
COLUMNS = {"full": 64, "cut": 56}


def packed(fields: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two a byte, the lower first, each row with bytes of its own."""
    even = np.pad(fields, ((0, 0), (0, fields.shape[1] % 2)))
    return np.asarray(even[:, ::2] | (even[:, 1::2] << 4), np.uint8)


def main(folder: Path) -> None:
    drawn = np.random.default_rng(3)
    nodes, tensors, values = [], [], []
    expected: dict[str, Any] = {}
    for name, columns in COLUMNS.items():
        blocks = -(-columns // BLOCK)
        made = {
            f"{name}.B": packed(
                drawn.integers(0, 16, (ROWS, blocks * BLOCK)).astype(np.uint8)
            ).reshape(ROWS, blocks, -1),
            f"{name}.scale": drawn.uniform(0.01, 0.02, ROWS * blocks).astype(np.float32),
        }
        if name == "full":
            zeros = drawn.integers(0, 16, (ROWS, blocks)).astype(np.uint8)
            made[f"{name}.zero"] = packed(zeros).reshape(-1)
        tensors += [numpy_helper.from_array(array, key) for key, array in made.items()]
        told = {"K": columns, "N": ROWS, "bits": BITS, "block_size": BLOCK}
        inputs = [f"{name}.x", *made]
        nodes.append(
            helper.make_node(
                "MatMulNBits", inputs, [f"{name}.y"], name, domain="com.microsoft", **told
            )
        )
        for kind, width in (("x", columns), ("y", ROWS)):
            shape = ["n", width]
            values.append(helper.make_tensor_value_info(f"{name}.{kind}", TensorProto.FLOAT, shape))
    graph = helper.make_graph(nodes, "g", values[::2], values[1::2], tensors)
    sets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=10)
    onnx.save(model, folder / "model.onnx")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    for name, columns in COLUMNS.items():
        one = {f"{n}.x": np.eye(c, dtype=np.float32) for n, c in COLUMNS.items()}
        expected[name] = session.run([f"{name}.y"], one)[0].T
        assert expected[name].shape == (ROWS, columns)
    np.savez(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
