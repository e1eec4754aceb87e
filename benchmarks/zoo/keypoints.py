"""Points of a body: heatmaps of an hourglass, and their mean place."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded

POINTS = 5


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.PReLU()
    )


class Hourglass(nn.Module):
    """Down, up by bilinear steps, heatmaps, and the points by soft argmax (Newell, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 12, 2)
        self.down = _conv(12, 24, 2)
        self.lower = _conv(24, 24)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.side, self.back = _conv(12, 12), nn.Conv2d(24, 12, 1)
        self.heat = nn.Conv2d(12, POINTS, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(image)
        y = self.side(x) + self.back(self.up(self.lower(self.down(x))))
        heatmaps = self.heat(y)
        batch, points, height, width = heatmaps.shape
        weights = heatmaps.flatten(2).softmax(-1).view(batch, points, height, width)
        rows = torch.linspace(0.0, 1.0, height)
        columns = torch.linspace(0.0, 1.0, width)
        across = (weights.sum(2) * columns).sum(-1)
        down = (weights.sum(3) * rows).sum(-1)
        return torch.stack((across, down), dim=-1), heatmaps


def keypoints() -> nn.Module:
    """A small hourglass."""
    return seeded(Hourglass(), 30)
