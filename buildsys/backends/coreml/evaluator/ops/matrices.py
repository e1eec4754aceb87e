"""Products of matrices."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..registry import Tensor, Tensors, operation


@operation("linear")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias`: [..., in] with weights [out, in] to [..., out]."""
    return F.linear(x, weight, bias)


@operation("matmul")
def matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    """`x @ y` as numpy does; transposition swaps the last two axes and leaves vectors alone."""
    if transpose_x and x.dim() > 1:
        x = x.mT
    if transpose_y and y.dim() > 1:
        y = y.mT
    return torch.matmul(x, y)


@operation("einsum")
def einsum(values: Tensors, equation: str) -> Tensor:
    """The sum of products that the equation says; axes of size 1 are broadcast."""
    return torch.einsum(equation, *values)
