"""Products of matrices."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..dtypes import DTYPES
from ..errors import Undefined
from ..registry import Outputs, Tensor, Tensors, operation


@operation("linear")
def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias`: [..., in] with weights [out, in] to [..., out].

    Weights may be whole numbers where `x` is not, since iOS 17 (coremltools' tests).
    """
    if x.is_floating_point() and not weight.is_floating_point():
        weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    return F.linear(x, weight, bias)


@operation("matmul")
def matmul(
    x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False, *, out: Outputs
) -> Tensor:
    """`x @ y` as numpy does; transposition swaps the last two axes and leaves vectors alone.

    One of the two may be whole numbers and the other not, since iOS 17 (coremltools' tests).

    Raises:
        Undefined: The result is declared whole numbers, and has fractions.
    """
    if transpose_x and x.dim() > 1:
        x = x.mT
    if transpose_y and y.dim() > 1:
        y = y.mT
    if x.dtype == y.dtype:
        return torch.matmul(x, y)
    kind = DTYPES[out[0].dtype].tensor
    made = torch.matmul(x.to(torch.float32), y.to(torch.float32))
    if not kind.is_floating_point and not torch.equal(made, made.round()):
        raise Undefined("matmul: whole numbers are declared, and the products have fractions")
    return made.to(kind)


@operation("einsum")
def einsum(values: Tensors, equation: str) -> Tensor:
    """The sum of products that the equation says; axes of size 1 are broadcast."""
    return torch.einsum(equation, *values)
