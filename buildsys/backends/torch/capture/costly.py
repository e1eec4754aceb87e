"""Operators that are worth computing at capture, where they depend on constants alone.

Converters lack them, or do them slowly or with other numbers. Operators that only move numbers, and plain
arithmetic, are left to the converters, which fold these by themselves: the bytes of what works stay.
"""

from __future__ import annotations

from .decompositions import OPERATORS, OWN, TABLE

MOVING = frozenset(
    {
        *("broadcast_to", "channel_shuffle", "column_stack", "dstack", "fliplr", "flipud"),
        *("moveaxis", "movedim", "new_full", "new_ones", "new_zeros", "positive", "ravel", "rot90"),
        *("take_along_dim", "tensor_split", "view_as", "vstack"),
    }
)
"""Operators that some converter lacks, and that give back numbers that they were given."""
BEGINNINGS = (
    "fft_",
    "_fft_",
    "grid_sampl",
    "linalg_",
    "_linalg_",
    "special_",
    "upsample_",
    "_upsample_",
)
NAMES = frozenset(
    {
        *(
            "affine_grid",
            "affine_grid_generator",
            "bartlett_window",
            "blackman_window",
            "bucketize",
        ),
        *(
            "cdist",
            "cholesky",
            "cholesky_inverse",
            "complex",
            "corrcoef",
            "cov",
            "cross",
            "cumprod",
        ),
        *("det", "digamma", "erfinv", "gcd", "hamming_window", "hann_window", "histc", "i0"),
        *("inverse", "istft", "kaiser_window", "lcm", "lgamma", "logcumsumexp", "logdet"),
        *("matrix_exp", "matrix_power", "mvlgamma", "pinverse", "polar", "polygamma", "qr"),
        *("searchsorted", "slogdet", "stft", "svd", "trapezoid", "triangular_solve", "unique"),
        *("unique_consecutive", "view_as_complex"),
    }
)
_ALL = NAMES | ((TABLE | set(OWN) | set(OPERATORS) | set(OPERATORS.values())) - MOVING)
RESIZING = frozenset({"interpolate"})
"""Functions whose sizes may be those of the example: their decomposition fixes them as well."""


def costly(name: str) -> bool:
    """Whether an operator or a function of PyTorch's is to be computed at capture, by its name."""
    return name in _ALL or name.startswith(BEGINNINGS)
