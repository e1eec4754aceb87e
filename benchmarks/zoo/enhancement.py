"""Pictures to pictures: a larger one by shuffled pixels, one in another style."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded


class SuperResolution(nn.Module):
    """Convolutions, then channels become pixels; added to a bicubic guess (Shi, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(16, 12, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(12, 9, 3, padding=1),
        )
        self.shuffle = nn.PixelShuffle(3)

    def forward(self, small: Tensor) -> Tensor:
        large = nn.functional.interpolate(
            small, scale_factor=3.0, mode="bilinear", align_corners=False
        )
        return self.shuffle(self.body(small)) + large


def _conv(before: int, after: int, size: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReflectionPad2d(size // 2),
        nn.Conv2d(before, after, size, stride, bias=False),  # The norm would undo a bias.
        nn.InstanceNorm2d(after, affine=True),
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _conv(width, width, 3, 1), _conv(width, width, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        # Without the rectifier, the next norm would undo the bias of this one.
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class StyleTransfer(nn.Module):
    """Instance norms, reflected borders, nearest enlargement (Johnson, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(_conv(3, 8, 5, 1), nn.ReLU(), _conv(8, 16, 3, 2), nn.ReLU())
        self.middle = nn.Sequential(_Residual(16), _Residual(16))
        self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), _conv(16, 8, 3, 1))
        self.out = nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(8, 3, 5))

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(self.out(torch.relu(self.up(self.middle(self.down(image))))))


def super_resolution() -> nn.Module:
    """Three times as large."""
    return seeded(SuperResolution(), 35)


def style_transfer() -> nn.Module:
    """A small transformer of style."""
    return seeded(StyleTransfer(), 36)
