"""Smaller weights: pruned, put on a palette, or made integers, of packages in float32 or float16.

coremltools writes them; which numbers they become is computed here where its own computation is not
to be relied on: it takes percentiles in float16, which numpy 2 gives as NaN above 65,536 elements, so
that nothing is pruned, and spaces palettes in float16 as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...kit.protocol.request import StepError
from ..libraries import ct

WEIGHT_THRESHOLD = 512
"""Smaller weights stay as they are: their scales and decoder would cost what they save."""
FIELD = "quantization"
_ADDED = re.compile(r"(?:_sparsified|_palettized|_palettized_pcs|_quantized)+$")
Array = NDArray[Any]


def check(wanted: Mapping[str, Any], specification: int) -> None:
    """Compares what is asked for with what the package's deployment target can hold.

    Raises:
        StepError: The target is too old.
    """
    if wanted["scheme"] == "static":
        if specification < ct.target.iOS17:
            raise _too_old("activations as integers", "iOS17")
        return
    newest = {
        f"{wanted.get('bits')} bits": wanted.get("bits") == 4 and not wanted.get("palette"),
        "`block_size`": wanted.get("block_size") is not None,
        "`sparsity` together with `bits`": bool(wanted.get("sparsity") and wanted.get("bits")),
    }
    asked = [what for what, on in newest.items() if on]
    needed = "iOS18" if asked else "iOS16"
    if specification < getattr(ct.target, needed):
        raise _too_old(asked[0] if asked else "compressed weights", needed)


def _too_old(what: str, needed: str) -> StepError:
    return StepError(
        f"{what} need {needed} or later",
        hint=f"set `minimum_deployment_target: {needed}`",
        field="options.minimum_deployment_target",
    )


def compressed(model: Any, wanted: Mapping[str, Any], kept: Sequence[str]) -> Any:
    """A model with its weights made smaller.

    Args:
        model: An ML program.
        wanted: The profile: `bits`, `per_channel`, `symmetric`, `palette`, `block_size`, `sparsity`.
        kept: Names of weights that stay as they are.
    """
    sparsity = wanted.get("sparsity")
    if sparsity is not None:
        model = _pruned(model, sparsity, kept)
    if wanted.get("bits") is None:
        return model
    optimize = ct.optimize.coreml
    joint = sparsity is not None
    if wanted.get("palette"):
        config = _palette(wanted, joint)
        return optimize.palettize_weights(model, _but(config, kept), joint_compression=joint)
    return optimize.linear_quantize_weights(
        model, _but(_linear(wanted), kept), joint_compression=joint
    )


def before(name: str) -> str:
    """What a weight was called before it was compressed."""
    return _ADDED.sub("", name)


def _but(config: Any, kept: Sequence[str]) -> Any:
    whole = ct.optimize.coreml.OptimizationConfig(global_config=config)
    for name in kept:
        whole.set_op_name(name, None)
    return whole


def _linear(wanted: Mapping[str, Any]) -> Any:
    block = wanted.get("block_size")
    per_channel = wanted.get("per_channel", True)
    # Of `static` the word is about activations, and its weights have no zero points.
    shifted = wanted.get("symmetric") is False and wanted["scheme"] != "static"
    return ct.optimize.coreml.OpLinearQuantizerConfig(
        mode="linear" if shifted else "linear_symmetric",
        dtype=f"int{wanted['bits']}",
        granularity="per_block" if block else "per_channel" if per_channel else "per_tensor",
        block_size=block or 0,
        weight_threshold=WEIGHT_THRESHOLD,
    )


def _palette(wanted: Mapping[str, Any], joint: bool) -> Any:
    group = wanted.get("block_size")
    return ct.optimize.coreml.OpPalettizerConfig(
        mode="custom",
        lut_function=table(wanted["palette"], wanted["bits"], joint),
        granularity="per_grouped_channel" if group else "per_tensor",
        group_size=group or 32,
        weight_threshold=WEIGHT_THRESHOLD,
    )


def _pruned(model: Any, sparsity: float, kept: Sequence[str]) -> Any:
    """The model with the smallest magnitudes of each weight at zero."""
    optimize = ct.optimize.coreml
    config = optimize.OptimizationConfig()
    found = optimize.get_weights_metadata(model, weight_threshold=WEIGHT_THRESHOLD)
    for name, weight in found.items():
        if name in kept or weight.val.ndim < 2:
            continue
        # Of a weight in float16, a threshold in float32 is still one of its own magnitudes.
        threshold = _threshold(weight.val, sparsity)
        config.set_op_name(
            name,
            optimize.OpThresholdPrunerConfig(
                threshold=threshold,
                minimum_sparsity_percentile=0.0,
                weight_threshold=WEIGHT_THRESHOLD,
            ),
        )
    return optimize.prune_weights(model, config)


def _threshold(values: Array, sparsity: float) -> float:
    """The magnitude up to which numbers go, so that at least a part of them does."""
    magnitudes = np.abs(values.astype(np.float32)).ravel()
    rank = int(np.ceil(sparsity * magnitudes.size)) - 1
    return float(np.partition(magnitudes, rank)[rank])


def table(kind: str, bits: int, sparse: bool) -> Callable[[Array], tuple[Array, NDArray[np.uint8]]]:
    """What makes a palette of a weight: a table of 2^bits numbers, and an index for each.

    Args:
        kind: `uniform`, evenly spaced from least to greatest; `kmeans`, of the least squared error.
        bits: The width of the indices.
        sparse: Whether zeros are left out, as they are where a mask tells them.
    """

    def make(values: Array) -> tuple[Array, NDArray[np.uint8]]:
        flat = values.ravel()
        known = flat[flat != 0] if sparse and np.any(flat) else flat
        count = 1 << bits
        if kind == "uniform":
            levels = np.linspace(np.float64(known.min()), np.float64(known.max()), count)
        else:
            levels = _clusters(known, count)
        levels = levels.astype(values.dtype)
        # Between two levels, the nearer one; equal ones, of which only the first is used, lie last.
        middles = (levels[1:].astype(np.float64) + levels[:-1].astype(np.float64)) / 2
        indices = np.searchsorted(middles, flat.astype(np.float64), side="left")
        return levels, indices.astype(np.uint8)

    return make


def _clusters(values: Array, count: int) -> NDArray[np.float64]:
    """The centres of the best clusters in one dimension, in order, the last one repeated.

    They are found among the numbers rounded to float16, of which there are few however large the
    weight is, by an exact method (Grønlund et al., Fast Exact k-Means in 1D, arXiv:1701.07204).
    """
    coarse = np.clip(values.astype(np.float32), -65504.0, 65504.0).astype(np.float16)
    # numpy sorts float16 wrongly on some processors.
    distinct, counts = np.unique(coarse.astype(np.float32), return_counts=True)
    wanted = min(count, len(distinct))
    found = ct._deps.kmeans1d.cluster(distinct.astype(np.float64), wanted, weights=counts)
    centres = np.sort(np.asarray(found.centroids, dtype=np.float64))
    return np.concatenate([centres, np.full(count - wanted, centres[-1])])
