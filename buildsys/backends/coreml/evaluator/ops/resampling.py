"""Images read at given points."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..errors import Unsupported
from ..registry import Tensor, operation

_KERNEL_MODES = {
    "constant": "zeros",
    "border": "border",
    "reflection": "reflection",
    "symmetric": "reflection",
}


@operation("affine")
def affine(
    x: Tensor,
    transform_matrix: Tensor,
    output_height: int,
    output_width: int,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    """The pixel (x, y) of the output is the input's at `(a0 x + a1 y + a2, b0 x + b1 y + b2)`.

    Args:
        x: [n, channels, height, width].
        transform_matrix: [n or 1, 6], the coefficients a, then b.
        output_height: Rows of the output.
        output_width: Columns of the output.
        sampling_mode: `bilinear`.
        padding_mode: `constant`.
        padding_value: 0.
        coordinates_mode: `normalized_minus_one_to_one`: -1 and 1 are the outermost pixels' centres.
        align_corners: True.

    Raises:
        Unsupported: An attribute has another value; coremltools documents no other.
    """
    _need("affine", "sampling_mode", sampling_mode.lower(), "bilinear")
    _need("affine", "padding_mode", padding_mode.lower(), "constant")
    _need("affine", "padding_value", padding_value, 0.0)
    _need("affine", "coordinates_mode", coordinates_mode.lower(), "normalized_minus_one_to_one")
    _need("affine", "align_corners", align_corners, True)
    n, c = x.shape[:2]
    theta = transform_matrix.view(-1, 2, 3).expand(n, 2, 3)
    grid = F.affine_grid(theta, [n, c, output_height, output_width], align_corners=True)
    return F.grid_sample(x, grid, "bilinear", "zeros", align_corners=True)


@operation("resample")
def resample(
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Tensor:
    """The input at points.

    Args:
        x: [n, channels, height, width].
        coordinates: [n, new height, new width, 2]: column, then row.
        sampling_mode: `bilinear` or `nearest`.
        padding_mode: What lies around the image: `constant`, `border`, `reflection` (without the edge)
            or `symmetric` (with it).
        padding_value: Of the constant mode.
        coordinates_mode: `unnormalized` (0 to size - 1), `normalized_minus_one_to_one` or
            `normalized_zero_to_one`.
        align_corners: Normalized, whether the extremes are the outermost pixels' centres or edges.

    Raises:
        Unsupported: A mode is none of the documented ones.
    """
    if sampling_mode not in ("bilinear", "nearest"):
        raise Unsupported(f"resample: its attribute sampling_mode is {sampling_mode!r}")
    if (kernel_mode := _KERNEL_MODES.get(padding_mode)) is None:
        raise Unsupported(f"resample: its attribute padding_mode is {padding_mode!r}")
    # The kernel's own flag says besides what it mirrors at: the edge pixels' centres or their edges.
    centred = padding_mode == "reflection"
    if coordinates_mode == "normalized_minus_one_to_one" and align_corners == centred:
        points = coordinates.to(torch.float32)
    else:
        pixels = _pixels(x, coordinates.to(torch.float32), coordinates_mode, align_corners)
        sizes = torch.tensor([x.shape[3], x.shape[2]], dtype=torch.float32)
        # One pixel has no distance between centres to be normalized by: any will do.
        spans = (sizes - 1).clamp_(min=1) if centred else sizes
        points = (2 * pixels + (0 if centred else 1)) / spans - 1
    if padding_mode != "constant" or padding_value == 0:
        return F.grid_sample(x, points, sampling_mode, kernel_mode, align_corners=centred)
    # What is padded with a value is that value more than what is padded with zeros.
    inside = F.grid_sample(
        torch.ones_like(x[:, :1]), points, sampling_mode, kernel_mode, align_corners=centred
    )
    y = F.grid_sample(x, points, sampling_mode, kernel_mode, align_corners=centred)
    return y + (1 - inside) * padding_value


def _pixels(x: Tensor, coordinates: Tensor, mode: str, align_corners: bool) -> Tensor:
    """Columns and rows, where the first pixel's centre is 0."""
    if mode == "unnormalized":
        return coordinates
    if mode == "normalized_minus_one_to_one":
        shares = (coordinates + 1) / 2
    elif mode == "normalized_zero_to_one":
        shares = coordinates
    else:
        raise Unsupported(f"resample: its attribute coordinates_mode is {mode!r}")
    sizes = torch.tensor([x.shape[3], x.shape[2]], dtype=torch.float32)
    return shares * (sizes - 1) if align_corners else shares * sizes - 0.5


def _need(name: str, field: str, value: object, known: object) -> None:
    if value != known:
        raise Unsupported(f"{name}: its attribute {field} is {value!r}, not {known!r}")
