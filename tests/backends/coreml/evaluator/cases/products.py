"""Products of matrices, attention, quantization, and tensors made from numbers."""

from __future__ import annotations

import numpy as np

from ..case import Array, Case, f32, floats, i32

X, WEIGHT, BIAS = floats(2, 5, 4), floats(3, 4), floats(3)
A, B = floats(2, 1, 3, 4), floats(5, 4, 6)
EINSUM = floats(2, 3, 4, 5), floats(1, 5, 4, 6)
EINSUM3 = floats(3, 1, 5), floats(5, 4, 6)
QUERY, KEY, VALUE = floats(2, 3, 4, 6), floats(2, 3, 5, 6), floats(2, 3, 5, 7)
MASK = floats(4, 5)
TAKES_PART = np.array(
    [[1, 0, 0, 0, 0], [1, 1, 0, 0, 1], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]], dtype=bool
)


def _attention(mask: Array) -> Array:
    scores = QUERY.astype(np.float64) @ KEY.swapaxes(-1, -2) / np.sqrt(6) + mask
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True) @ VALUE)


FLAT = f32([[-1.0, -0.24, 0.25, 100.0], [0.75, 1.25, -300.0, 2.0]])
SCALE2, ZERO2 = f32([0.5, 0.25]), np.array([3, -4], np.int8)
LEVELS = np.array([[0, 5, 250], [1, 2, 3]], np.uint8)


def _quantize(scale: Array | float, zero: Array | int, low: int, high: int) -> Array:
    return np.clip(np.rint(FLAT / scale) + zero, low, high)


CASES = [
    Case("linear", {"x": X, "weight": WEIGHT}, X @ WEIGHT.T),
    Case("linear", {"x": X, "weight": WEIGHT, "bias": BIAS}, X @ WEIGHT.T + BIAS),
    Case("linear", {"x": floats(4) * 0 + 1, "weight": WEIGHT}, WEIGHT.sum(1)),
    Case(
        "linear",
        {"x": i32([[1, 2]]), "weight": i32([[3, 4], [5, 6]]), "bias": i32([1, -1])},
        i32([[12, 16]]),
    ),
    Case(
        "linear",
        {"x": f32([[1.5, 2]]), "weight": i32([[3, 4]]), "bias": i32([5])},
        f32([[17.5]]),
    ),
    Case("matmul", {"x": A, "y": B}, A @ B),
    Case("matmul", {"x": A.swapaxes(-1, -2), "y": B, "transpose_x": True}, A @ B),
    Case("matmul", {"x": A, "y": B.swapaxes(-1, -2), "transpose_y": True}, A @ B),
    Case("matmul", {"x": A[0, 0, 0], "y": B}, A[0, 0, 0] @ B),
    Case("matmul", {"x": A, "y": B[0, :, 0], "transpose_y": True}, A @ B[0, :, 0]),
    Case("matmul", {"x": A[0, 0, 0], "y": B, "transpose_x": True}, A[0, 0, 0] @ B),
    Case("matmul", {"x": i32([[1, 2]]), "y": i32([[3], [4]])}, i32([[11]])),
    Case("matmul", {"x": i32([[1, 2]]), "y": f32([[3], [4]])}, i32([[11]])),
    Case("matmul", {"x": i32([[1, 2]]), "y": f32([[3.5], [4]])}, f32([[11.5]])),
    Case("matmul", {"x": i32([[1, 2]]), "y": f32([[3.5], [4]])}, "Undefined"),
    Case(
        "einsum",
        {"values": EINSUM, "equation": "nchw,nwhu->nchu"},
        np.einsum("nchw,whu->nchu", EINSUM[0], EINSUM[1][0]),
    ),
    Case(
        "einsum",
        {"values": EINSUM3, "equation": "chw,whr->chr"},
        np.einsum("cw,whr->chr", EINSUM3[0][:, 0], EINSUM3[1]),
    ),
    Case(
        "scaled_dot_product_attention",
        {"query": QUERY, "key": KEY, "value": VALUE},
        _attention(np.zeros(1)),
    ),
    Case(
        "scaled_dot_product_attention",
        {"query": QUERY, "key": KEY, "value": VALUE, "attn_mask": MASK},
        _attention(MASK),
    ),
    Case(
        "scaled_dot_product_attention",
        {"query": QUERY, "key": KEY, "value": VALUE, "attn_mask": TAKES_PART},
        _attention(np.where(TAKES_PART, 0.0, -np.inf)),
    ),
    Case(
        "scaled_dot_product_attention",
        {"query": QUERY[0], "key": KEY[0], "value": VALUE[0]},
        _attention(np.zeros(1))[0],
    ),
    Case(
        "quantize",
        {"input": FLAT, "scale": f32(0.5), "output_dtype": "int8"},
        _quantize(0.5, 0, -128, 127).astype(np.int8),
    ),
    Case(
        "quantize",
        {
            "input": FLAT,
            "scale": f32(0.5),
            "zero_point": np.array(10, np.uint8),
            "output_dtype": "uint8",
        },
        _quantize(0.5, 10, 0, 255).astype(np.uint8),
    ),
    Case(
        "quantize",
        {"input": FLAT, "scale": SCALE2, "zero_point": ZERO2, "axis": 0, "output_dtype": "int8"},
        _quantize(SCALE2[:, None], ZERO2[:, None].astype(int), -128, 127).astype(np.int8),
    ),
    Case("quantize", {"input": FLAT, "scale": f32(1), "output_dtype": "int4"}, "Unsupported"),
    Case("dequantize", {"input": LEVELS, "scale": f32(0.5)}, LEVELS * f32(0.5)),
    Case(
        "dequantize",
        {"input": LEVELS, "scale": f32(0.5), "zero_point": np.array(7, np.uint8)},
        (LEVELS.astype(np.float32) - 7) * f32(0.5),
    ),
    Case(
        "dequantize",
        {
            "input": LEVELS,
            "scale": f32([1, 2, 3]),
            "zero_point": np.array([1, 2, 3], np.uint8),
            "axis": -1,
        },
        (LEVELS.astype(np.float32) - f32([1, 2, 3])) * f32([1, 2, 3]),
    ),
    Case("fill", {"shape": (2, 3)}, np.zeros((2, 3), np.float32)),
    Case("fill", {"shape": (2,), "value": f32(1.5)}, f32([1.5, 1.5])),
    Case("fill", {"shape": (2,), "value": i32(7)}, i32([7, 7])),
    Case("fill", {"shape": (1,), "value": np.array(True)}, np.array([True])),
    Case("fill_like", {"ref_tensor": i32([[1, 2]])}, f32([[0, 0]])),
    Case("fill_like", {"ref_tensor": X, "value": i32(3)}, np.full(X.shape, 3, np.int32)),
    Case(
        "one_hot", {"indices": i32([2, 0]), "one_hot_vector_size": 3}, i32([[0, 0, 1], [1, 0, 0]])
    ),
    Case(
        "one_hot",
        {"indices": i32([2, 0]), "one_hot_vector_size": 3, "axis": 0},
        i32([[0, 1], [0, 0], [1, 0]]),
    ),
    Case(
        "one_hot",
        {
            "indices": i32([[1], [2]]),
            "one_hot_vector_size": 3,
            "axis": -2,
            "on_value": f32(5),
            "off_value": f32(-1),
        },
        f32([[[-1], [5], [-1]], [[-1], [-1], [5]]]),
    ),
    Case("range_1d", {"start": i32(2), "end": i32(9), "step": i32(3)}, i32([2, 5, 8])),
    Case("range_1d", {"start": i32(5), "end": i32(0), "step": i32(-2)}, i32([5, 3, 1])),
    Case("range_1d", {"start": i32(5), "end": i32(0), "step": i32(2)}, np.zeros(0, np.int32)),
    Case(
        "range_1d", {"start": f32(0), "end": f32(1), "step": f32(0.25)}, f32([0, 0.25, 0.5, 0.75])
    ),
    Case("range_1d", {"start": i32(5), "end": i32(0), "step": i32(0)}, "Undefined"),
    Case("shape", {"x": X}, i32([2, 5, 4])),
    Case("random_bernoulli", {"shape": (2,), "prob": 0.2, "seed": 3}, "Undefined"),
    Case("random_categorical", {"x": X, "mode": "probs", "size": 2, "seed": 3}, "Undefined"),
    Case("random_normal", {"shape": (2,), "mean": 1.0, "stddev": 2.0, "seed": 3}, "Undefined"),
    Case("random_uniform", {"shape": (2,), "low": 1.0, "high": 2.0, "seed": 3}, "Undefined"),
]
