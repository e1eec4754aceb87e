"""ShuffleNetV2: half of the channels pass, then all are shuffled."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded


def _shuffle(x: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    x = x.view(batch, 2, channels // 2, height, width)
    return x.transpose(1, 2).contiguous().view(batch, channels, height, width)


def _branch(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, stride, 1, groups=after, bias=False),
        nn.BatchNorm2d(after),
        nn.Conv2d(after, after, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class _Unit(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        half = after // 2
        if stride == 1:
            self.right = _branch(half, half, 1)
        else:
            self.left = nn.Sequential(
                nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False),
                nn.BatchNorm2d(before),
                nn.Conv2d(before, half, 1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(inplace=True),
            )
            self.right = _branch(before, half, stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            kept, used = x.chunk(2, dim=1)
            return _shuffle(torch.cat((kept, self.right(used)), dim=1))
        return _shuffle(torch.cat((self.left(x), self.right(x)), dim=1))


class ShuffleNetV2(nn.Module):
    """Two stages of units (Ma, 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU())
        self.stages = nn.Sequential(
            _Unit(12, 24, 2), _Unit(24, 24, 1), _Unit(24, 48, 2), _Unit(48, 48, 1)
        )
        self.head = nn.Linear(48, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(image)).mean([2, 3]))


def shufflenet_v2() -> nn.Module:
    """A small ShuffleNetV2."""
    return seeded(ShuffleNetV2(), 7)
