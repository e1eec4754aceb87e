"""EfficientNet: inverted residuals with SiLU, gates, and depth that is dropped in training."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded


class _Gate(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, inner, 1)
        self.expand = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = nn.functional.silu(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.expand(scale))


class _Drop(nn.Module):
    """Drops whole samples of a branch while training."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x * (torch.rand(x.shape[0], 1, 1, 1) > 0.2)


class _Block(nn.Module):
    def __init__(self, before: int, after: int, size: int, stride: int) -> None:
        super().__init__()
        inner = before * 3
        self.adds = stride == 1 and before == after
        self.body = nn.Sequential(
            nn.Conv2d(before, inner, 1, bias=False),
            nn.BatchNorm2d(inner, eps=1e-3),
            nn.SiLU(),
            nn.Conv2d(inner, inner, size, stride, size // 2, groups=inner, bias=False),
            nn.BatchNorm2d(inner, eps=1e-3),
            nn.SiLU(),
            _Gate(inner, max(1, before // 4)),
            nn.Conv2d(inner, after, 1, bias=False),
            nn.BatchNorm2d(after, eps=1e-3),
        )
        self.drop = _Drop()

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return self.drop(y) + x if self.adds else y


class EfficientNet(nn.Module):
    """A small one (Tan, 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8, eps=1e-3), nn.SiLU()
        )
        self.blocks = nn.Sequential(
            _Block(8, 8, 3, 1), _Block(8, 16, 3, 2), _Block(16, 16, 5, 1), _Block(16, 24, 5, 2)
        )
        self.top = nn.Sequential(
            nn.Conv2d(24, 64, 1, bias=False), nn.BatchNorm2d(64, eps=1e-3), nn.SiLU()
        )
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.top(self.blocks(self.stem(image))).mean((2, 3)))


def efficientnet() -> nn.Module:
    """A small EfficientNet."""
    return seeded(EfficientNet(), 8)
