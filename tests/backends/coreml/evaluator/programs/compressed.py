"""Compressed packages give the bits that coremltools' own decompression of them gives."""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from buildsys.backends.coreml.evaluator.messages import Model_pb2
from buildsys.backends.coreml.libraries import ct

from .making import (
    CASES,
    IOS16,
    IOS18,
    MODEL,
    Program,
    case,
    converted,
    equal,
    floats,
    mb,
    operations,
    package,
    saved,
    types,
)

OPTIMIZE = ct.optimize.coreml
WEIGHTS = floats(32, 16, 3, 3), floats(64, 32), floats(64)


def _network(target: Any, half: bool) -> Any:
    kernel, matrix, bias = WEIGHTS

    @mb.program(input_specs=[mb.TensorSpec((1, 16, 6, 6))], opset_version=target)
    def program(x: Any) -> Any:
        x = mb.relu(x=mb.conv(x=x, weight=kernel, pad_type="same"))
        x = mb.reduce_mean(x=x, axes=[2, 3])
        return mb.linear(x=x, weight=matrix, bias=bias)

    return converted(program, target, half)


NETWORKS = {
    (target, half): _network(target, half) for target in (IOS16, IOS18) for half in (False, True)
}


def _types(where: Any) -> list[str]:
    spec = Model_pb2.Model()
    spec.ParseFromString((where / MODEL).read_bytes())
    return [op.type for op in operations(spec)]


def _equal_decompressed(model: Any, wanted: str) -> None:
    """Compares the results and constants of a compressed model with those of its decompressed copy."""
    small, plain = saved(model), saved(OPTIMIZE.decompress_weights(model))
    assert wanted in _types(small), _types(small)
    assert not [each for each in _types(plain) if each.startswith("constexpr_")]
    compressed, whole = Program.open(small), Program.open(plain)
    feed = {each.name: floats(*each.shape) for each in compressed.inputs}
    for mode in ("typed", "fp32"):
        found, expected = compressed.run(feed, mode), whole.run(feed, mode)
        assert found.keys() == expected.keys()
        for name in found:
            equal(found[name], expected[name])


def _config(kind: str, **options: Any) -> Any:
    return OPTIMIZE.OptimizationConfig(
        global_config=getattr(OPTIMIZE, f"Op{kind}Config")(weight_threshold=0, **options)
    )


def _quantized(model: Any, joint: bool = False, **options: Any) -> Any:
    config = _config("LinearQuantizer", **options)
    more = {"joint_compression": True} if joint else {}
    return OPTIMIZE.linear_quantize_weights(model, config, **more)


def _palettized(model: Any, joint: bool = False, **options: Any) -> Any:
    more = {"joint_compression": True} if joint else {}
    return OPTIMIZE.palettize_weights(model, _config("Palettizer", **options), **more)


def _pruned(model: Any, joint: bool = False, **options: Any) -> Any:
    more = {"joint_compression": True} if joint else {}
    return OPTIMIZE.prune_weights(model, _config("MagnitudePruner", **options), **more)


def _clusters(weight: Any) -> tuple[Any, Any]:
    """Sixteen centres by Lloyd's iterations: what k-means gives, without scikit-learn."""
    numbers = weight.astype(np.float32).ravel()
    centres = np.quantile(numbers, (np.arange(16) + 0.5) / 16)
    for _ in range(5):
        nearest = np.abs(numbers[:, None] - centres).argmin(1)
        centres = np.array([numbers[nearest == i].mean() for i in range(16)])
    return centres.astype(weight.dtype), nearest.astype(np.uint8)


AFFINE, LUT, SPARSE = (
    f"constexpr_{name}" for name in ("affine_dequantize", "lut_to_dense", "sparse_to_dense")
)
BLOCKS = "constexpr_blockwise_shift_scale"
SYMMETRIC: dict[str, Any] = {"mode": "linear_symmetric"}
UNIFORM: dict[str, Any] = {"mode": "uniform"}

VARIANTS: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "int8_per_tensor": (IOS16, AFFINE, partial(_quantized, granularity="per_tensor")),
    "int8_per_channel": (
        IOS16,
        AFFINE,
        partial(_quantized, granularity="per_channel", **SYMMETRIC),
    ),
    "uint8_per_channel": (IOS16, AFFINE, partial(_quantized, dtype="uint8")),
    **{
        f"palette_{n}_bits": (IOS16, LUT, partial(_palettized, nbits=n, **UNIFORM))
        for n in (1, 2, 4, 6, 8)
    },
    "palette_of_clusters": (
        IOS16,
        LUT,
        partial(_palettized, mode="custom", lut_function=_clusters),
    ),
    "pruned": (IOS16, SPARSE, partial(_pruned, target_sparsity=0.6)),
    "int4_blocks": (
        IOS18,
        BLOCKS,
        partial(_quantized, dtype="int4", granularity="per_block", block_size=8),
    ),
    "uint4_blocks": (
        IOS18,
        BLOCKS,
        partial(_quantized, mode="linear", dtype="uint4", granularity="per_block", block_size=4),
    ),
    "int8_per_channel_18": (IOS18, BLOCKS, partial(_quantized, granularity="per_channel")),
    "palette_3_bits_18": (IOS18, LUT, partial(_palettized, nbits=3, **UNIFORM)),
    "palette_of_groups": (
        IOS18,
        LUT,
        partial(
            _palettized,
            nbits=4,
            granularity="per_grouped_channel",
            group_size=8,
            channel_axis=0,
            **UNIFORM,
        ),
    ),
    "palette_with_scales": (
        IOS18,
        LUT,
        partial(_palettized, nbits=4, enable_per_channel_scale=True, **UNIFORM),
    ),
    "pruned_18": (IOS18, SPARSE, partial(_pruned, target_sparsity=0.6)),
    "pruned_by_groups": (IOS18, SPARSE, partial(_pruned, n_m_ratio=(2, 4))),
    "pruned_and_palettized": (
        IOS18,
        "constexpr_lut_to_sparse",
        lambda model: _palettized(
            _pruned(model, target_sparsity=0.6), joint=True, nbits=4, **UNIFORM
        ),
    ),
    "pruned_and_quantized": (
        IOS18,
        "constexpr_sparse_blockwise_shift_scale",
        lambda model: _quantized(_pruned(model, target_sparsity=0.6), joint=True, **SYMMETRIC),
    ),
    "palettized_and_quantized": (
        IOS18,
        LUT,
        lambda model: _quantized(
            _palettized(model, nbits=4, **UNIFORM),
            joint=True,
            granularity="per_tensor",
            **SYMMETRIC,
        ),
    ),
}


def _variant(name: str, half: bool) -> Callable[[], None]:
    target, operation, compress = VARIANTS[name]

    def run() -> None:
        _equal_decompressed(compress(NETWORKS[target, half]), operation)

    return run


for _name in VARIANTS:
    for _half in (False, True):
        CASES[f"{_name}_{'float16' if _half else 'float32'}"] = _variant(_name, _half)


def _added(weight: Callable[[], Any]) -> Any:
    """A model that adds a decoded weight to a number."""

    @mb.program(input_specs=[mb.TensorSpec((5, 2))], opset_version=IOS18)
    def program(x: Any) -> Any:
        return mb.add(x=mb.reduce_sum(x=x), y=weight())

    return converted(program, IOS18)


@case
def palettes_of_vectors() -> None:
    """Each index stands for several elements, along either axis; palettes differ by block."""
    indices = np.random.default_rng(1).integers(0, 4, (6, 8)).astype(types.np_uint2_dtype)
    for axis in (0, 1):
        decoder = partial(
            mb.constexpr_lut_to_dense,
            indices=indices,
            lut=floats(3, 2, 4, 3),
            vector_axis=np.int32(axis),
        )
        _equal_decompressed(_added(decoder), LUT)


@case
def sparse_palettes_of_vectors() -> None:
    random = np.random.default_rng(1)
    mask = random.integers(0, 2, (4, 6))
    indices = random.integers(0, 2, int(mask.sum()))

    def weight() -> Any:
        spread, nonzero = mb.constexpr_lut_to_sparse(
            indices_mask=mask.astype(types.np_uint1_dtype),
            indices_nonzero_data=indices.astype(types.np_uint1_dtype),
            lut=floats(1, 1, 2, 2),
            vector_axis=np.int32(0),
        )
        return mb.constexpr_sparse_to_dense(nonzero_data=nonzero, mask=spread)

    _equal_decompressed(_added(weight), "constexpr_lut_to_sparse")


@case
def offsets_that_are_floats_and_whole() -> None:
    data = np.random.default_rng(1).integers(-128, 127, (4, 6)).astype(np.int8)
    for offset in (np.array([[3], [-7]], np.int8), floats(2, 1)):
        decoder = partial(
            mb.constexpr_blockwise_shift_scale, data=data, scale=floats(2, 1), offset=offset
        )
        _equal_decompressed(_added(decoder), BLOCKS)


@case
def a_cast_constant() -> None:
    stored = floats(6, 8).astype(np.float16)

    def body(x: Any) -> Any:
        return mb.add(x=x, y=mb.constexpr_cast(source_val=stored, output_dtype="fp32"))

    for target in (IOS16, IOS18):
        where = package(body, (6, 8), target=target)
        assert "constexpr_cast" in _types(where)
        zeros = np.zeros((6, 8), np.float32)
        (found,) = Program.open(where).run({"x": zeros}).values()
        equal(found, stored.astype(np.float32))
