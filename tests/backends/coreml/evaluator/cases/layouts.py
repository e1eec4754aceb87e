"""The same elements in other shapes and orders."""

from __future__ import annotations

import numpy as np

from ..case import Array, Case, f32, floats, i32

X = floats(2, 3, 4)
GRID = f32(np.arange(12).reshape(3, 4))
DEEP = f32(np.arange(32).reshape(2, 8, 1, 2))
PIXELS = f32(np.arange(48).reshape(1, 2, 4, 6))
BATCH = f32(np.arange(24).reshape(2, 1, 3, 4))


def _depth_to_space(x: Array, b: int) -> Array:
    """`y[n, c, h * b + i, w * b + j] = x[n, (i * b + j) * C + c, h, w]`, as TensorFlow has it."""
    n, depth, height, width = x.shape
    channels = depth // (b * b)
    y = np.empty((n, channels, height * b, width * b), x.dtype)
    for i in range(b):
        for j in range(b):
            first = (i * b + j) * channels
            y[:, :, i::b, j::b] = x[:, first : first + channels]
    return y


def _pixel_shuffle(x: Array, b: int) -> Array:
    """`y[n, c, h * b + i, w * b + j] = x[n, c * b * b + i * b + j, h, w]`, as PyTorch has it."""
    n, depth, height, width = x.shape
    y = np.empty((n, depth // (b * b), height * b, width * b), x.dtype)
    for i in range(b):
        for j in range(b):
            y[:, :, i::b, j::b] = x[:, i * b + j :: b * b]
    return y


def _space_to_batch(x: Array, a: int, b: int) -> Array:
    """One group of samples for each place in the block."""
    return np.concatenate([x[:, :, i::a, j::b] for i in range(a) for j in range(b)])


_PADDED = np.pad(BATCH, [(0, 0), (0, 0), (1, 0), (1, 1)])
_SPREAD = _space_to_batch(_PADDED, 2, 3)

CASES = [
    Case("reshape", {"x": X, "shape": (4, 6)}, X.reshape(4, 6)),
    Case("reshape", {"x": X, "shape": (-1, 2)}, X.reshape(12, 2)),
    Case("reshape", {"x": X, "shape": (0, -1, 2)}, X.reshape(2, 6, 2)),
    Case("reshape", {"x": X, "shape": (1, 0, -1, 0)}, X.reshape(1, 2, 3, 4)),
    Case("reshape", {"x": GRID, "shape": (1, 0, -1, 0)}, GRID.reshape(1, 1, 3, 4)),
    Case("reshape", {"x": GRID, "shape": ()} | {"x": f32([[7]])}, f32(7)),
    Case(
        "reshape_like",
        {
            "x": floats(30, 2) * 0 + 1,
            "ref_tensors": (floats(2, 3, 4), floats(1, 5, 2)),
            "begins": (i32(0), i32(1)),
            "ends": (i32(2), i32(0)),
            "end_masks": (np.array(False), np.array(True)),
        },
        np.ones((2, 3, 5, 2), np.float32),
    ),
    Case("expand_dims", {"x": GRID, "axes": (0, -1)}, GRID.reshape(1, 3, 4, 1)),
    Case("expand_dims", {"x": GRID, "axes": (2, 1)}, GRID.reshape(3, 1, 1, 4)),
    Case("squeeze", {"x": GRID.reshape(1, 3, 1, 4)}, GRID),
    Case("squeeze", {"x": GRID.reshape(1, 3, 1, 4), "axes": (-2,)}, GRID.reshape(1, 3, 4)),
    Case("squeeze", {"x": GRID.reshape(1, 3, 4), "axes": (0, 1)}, GRID),
    Case("flatten2d", {"x": X}, X.reshape(2, 12)),
    Case("flatten2d", {"x": X, "axis": -1}, X.reshape(6, 4)),
    Case("flatten2d", {"x": X, "axis": 0}, X.reshape(1, 24)),
    Case("transpose", {"x": X, "perm": (2, 0, 1)}, X.transpose(2, 0, 1)),
    Case("transpose", {"x": X, "perm": (0, -1, -2)}, X.transpose(0, 2, 1)),
    Case("concat", {"values": (X, X[:, :1]), "axis": 1}, np.concatenate([X, X[:, :1]], 1)),
    Case("concat", {"values": (X, -X), "axis": -1}, np.concatenate([X, -X], -1)),
    Case(
        "concat",
        {"values": (i32([[1, 2], [3, 4]]), i32([[7, 8], [9, 10]])), "axis": 0, "interleave": True},
        i32([[1, 2], [7, 8], [3, 4], [9, 10]]),
    ),
    Case(
        "concat",
        {"values": (f32([[1, 2]]), f32([[7, 8]])), "axis": -1, "interleave": True},
        f32([[1, 7, 2, 8]]),
    ),
    Case("stack", {"values": (X, -X), "axis": 1}, np.stack([X, -X], 1)),
    Case("stack", {"values": (X, -X), "axis": -1}, np.stack([X, -X], -1)),
    Case("split", {"x": X, "num_splits": 2, "axis": 2}, (X[..., :2], X[..., 2:])),
    Case("split", {"x": X, "split_sizes": (1, 2), "axis": 1}, (X[:, :1], X[:, 1:])),
    Case(
        "split",
        {"x": X, "num_splits": 2, "split_sizes": (3, 1), "axis": -1},
        (X[..., :3], X[..., 3:]),
    ),
    Case("split", {"x": X, "num_splits": 3, "axis": 2}, "Unsupported"),
    Case("tile", {"x": GRID, "reps": (2, 3)}, np.tile(GRID, (2, 3))),
    Case("reverse", {"x": X}, X[::-1, ::-1, ::-1]),
    Case("reverse", {"x": X, "axes": (1, -1)}, X[:, ::-1, ::-1]),
    Case(
        "reverse_sequence",
        {"x": GRID, "lengths": i32([3, 0, 4]), "seq_axis": 1},
        f32([[2, 1, 0, 3], [4, 5, 6, 7], [11, 10, 9, 8]]),
    ),
    Case(
        "reverse_sequence",
        {"x": GRID, "lengths": i32([3, 1, 2, 0]), "batch_axis": -1},
        f32([[8, 1, 6, 3], [4, 5, 2, 7], [0, 9, 10, 11]]),
    ),
    Case("pad", {"x": X, "pad": (1, 2)}, np.pad(X, [(0, 0), (0, 0), (1, 2)])),
    Case(
        "pad",
        {"x": X, "pad": (1, 0, 0, 2, 3, 1), "constant_val": f32(1.5)},
        np.pad(X, [(1, 0), (0, 2), (3, 1)], constant_values=1.5),
    ),
    Case("pad", {"x": i32([[1]]), "pad": (0, 1), "constant_val": i32(9)}, i32([[1, 9]])),
    Case(
        "pad",
        {"x": X, "pad": (1, 2, 3, 0), "mode": "reflect"},
        np.pad(X, [(0, 0), (1, 2), (3, 0)], "reflect"),
    ),
    Case(
        "pad",
        {"x": X, "pad": (1, 1, 2, 1, 0, 3), "mode": "replicate"},
        np.pad(X, [(1, 1), (2, 1), (0, 3)], "edge"),
    ),
    Case("pad", {"x": X, "pad": (1, 1), "mode": "circular"}, "Unsupported"),
    Case("band_part", {"x": X}, X),
    Case(
        "band_part",
        {"x": GRID, "lower": 1, "upper": 0},
        f32([[0, 0, 0, 0], [4, 5, 0, 0], [0, 9, 10, 0]]),
    ),
    Case("band_part", {"x": X, "lower": 0}, np.triu(X)),
    Case(
        "band_part",
        {"x": np.ones((2, 3), np.bool_), "upper": 0},
        np.array([[True, False, False], [True, True, False]]),
    ),
    Case("band_part", {"x": X, "upper": 1}, np.tril(X, 1)),
    Case("depth_to_space", {"x": DEEP, "block_size": 2}, _depth_to_space(DEEP, 2)),
    Case("space_to_depth", {"x": _depth_to_space(DEEP, 2), "block_size": 2}, DEEP),
    Case("pixel_shuffle", {"x": DEEP, "upscale_factor": 2}, _pixel_shuffle(DEEP, 2)),
    Case("pixel_unshuffle", {"x": _pixel_shuffle(DEEP, 2), "downscale_factor": 2}, DEEP),
    Case(
        "space_to_batch",
        {"x": BATCH, "block_shape": (2, 3), "paddings": i32([[1, 0], [1, 1]])},
        _SPREAD,
    ),
    Case(
        "batch_to_space",
        {"x": _SPREAD, "block_shape": (2, 3), "crops": i32([[1, 0], [1, 1]])},
        BATCH,
    ),
    Case(
        "sliding_windows",
        {"x": GRID, "axis": 1, "size": 2},
        np.stack([GRID[:, 0:2], GRID[:, 1:3], GRID[:, 2:4]], 1),
    ),
    Case(
        "sliding_windows",
        {"x": PIXELS, "axis": -2, "size": 2, "stride": 2},
        np.stack([PIXELS[:, :, 0:2], PIXELS[:, :, 2:4]], 2),
    ),
    Case("crop", {"x": PIXELS, "crop_height": (1, 2), "crop_width": (0, 3)}, PIXELS[:, :, 1:2, :3]),
]
