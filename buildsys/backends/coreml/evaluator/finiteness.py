"""Which results of a block are looked at, so that none that is not finite goes unseen.

To look at every result would cost a third of a run. Many operations hand on what is not finite (infinity
times 0 is NaN), so that it is enough to look at the last of a chain of them; some cannot make it at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from .dtypes import DTYPES
from .steps import Step

HANDING_ON = frozenset(
    {"cond", "coreml_update_state", "list_gather", "list_read", "read_state", "while_loop"}
)
"""Operations whose results were rounded, and looked at, before."""
UNCHANGING = HANDING_ON.union(
    ("abs", "ceil", "clip", "floor", "relu", "round", "select", "sign"),
    ("max_pool", "maximum", "minimum", "reduce_max", "reduce_min"),
    ("concat", "crop", "expand_dims", "flatten2d", "identity", "pad", "reshape", "reshape_like"),
    ("reverse", "reverse_sequence", "sliding_windows", "slice_by_index", "slice_by_size", "split"),
    ("squeeze", "stack", "tile", "transpose", "upsample_nearest_neighbor"),
    ("batch_to_space", "depth_to_space", "pixel_shuffle", "pixel_unshuffle"),
    ("space_to_batch", "space_to_depth", "gather", "gather_along_axis", "gather_nd"),
)
"""Operations whose results are elements of their inputs or whole numbers: where the inputs have the
declared type, they need no rounding; where the inputs are finite, so are they."""
_BOUNDED = frozenset({"cos", "erf", "sigmoid", "sigmoid_hard", "sin", "softmax", "tanh"})
"""Operations whose results are finite where the inputs are."""
_SHOWING = frozenset(
    {
        "add",
        "batch_norm",
        "cast",
        "concat",
        "expand_dims",
        "identity",
        "instance_norm",
        "layer_norm",
    }
    | {"linear", "matmul", "mul", "reduce_mean", "reduce_sum", "reshape", "square", "squeeze"}
    | {"stack", "sub", "tile", "transpose"}
)
"""Operations with a result that is not finite wherever an element of an input is not."""


def looked_at(steps: Sequence[Step], unchanged: Sequence[bool]) -> list[bool]:
    """For each operation of a block whether its results are looked at.

    Args:
        steps: The operations in order.
        unchanged: Whether an operation's results are elements of inputs of the declared type.
    """
    showing: dict[str, int] = {}
    for index, step in reversed(list(enumerate(steps))):
        if step.operation in _SHOWING and all(_floating(each.dtype) for each in step.types):
            showing.update((name, index) for names in step.inputs.values() for name in names)
    wanted = [_may_make(step, same) for step, same in zip(steps, unchanged, strict=True)]
    found = []
    for index, step in enumerate(steps):
        shown = showing.get(step.outputs[0]) if len(step.outputs) == 1 else None
        hands_on = wanted[index] and shown is not None and shown > index
        if hands_on and shown is not None:
            wanted[shown] = True
        found.append(wanted[index] and not hands_on)
    return found


def _may_make(step: Step, unchanged: bool) -> bool:
    """Whether an operation can make what is not finite of what is."""
    if unchanged or step.operation in _BOUNDED:
        return False
    narrowed = any(each.dtype == "FLOAT16" for each in step.types)
    floating = any(_floating(each.dtype) for each in step.types)
    return floating and (narrowed or step.operation not in UNCHANGING)


def _floating(dtype: str) -> bool:
    return dtype in DTYPES and DTYPES[dtype].floating
