"""DenseNet: every layer is given what all before it gave."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded

GROWTH = 8


class _Layer(nn.Module):
    def __init__(self, before: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.squeeze = nn.Conv2d(before, 2 * GROWTH, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * GROWTH)
        self.grow = nn.Conv2d(2 * GROWTH, GROWTH, 3, padding=1, bias=False)

    def forward(self, *features: Tensor) -> Tensor:
        x = self.squeeze(torch.relu(self.norm1(torch.cat(features, 1))))
        return self.grow(torch.relu(self.norm2(x)))


class _Dense(nn.Module):
    def __init__(self, before: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(before + i * GROWTH) for i in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(*features))
        return torch.cat(features, 1)


class DenseNet(nn.Module):
    """Two dense blocks with a transition (Huang, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.first = _Dense(16, 3)
        self.transition = nn.Sequential(
            nn.BatchNorm2d(40), nn.ReLU(), nn.Conv2d(40, 20, 1, bias=False), nn.AvgPool2d(2, 2)
        )
        self.second = _Dense(20, 3)
        self.norm = nn.BatchNorm2d(44)
        self.head = nn.Linear(44, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.second(self.transition(self.first(self.stem(image))))
        x = torch.relu(self.norm(x))
        return self.head(nn.functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


def densenet() -> nn.Module:
    """A small DenseNet."""
    return seeded(DenseNet(), 9)
