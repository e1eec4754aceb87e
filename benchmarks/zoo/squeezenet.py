"""SqueezeNet: fire modules, pools with ceiling sizes, a convolution as head."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded


class _Fire(nn.Module):
    def __init__(self, before: int, inner: int, after: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, inner, 1)
        self.narrow = nn.Conv2d(inner, after, 1)
        self.wide = nn.Conv2d(inner, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.narrow(x)), torch.relu(self.wide(x))], 1)


class SqueezeNet(nn.Module):
    """Three fire modules (Iandola, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            _Fire(16, 8, 16),
            _Fire(32, 8, 16),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            _Fire(32, 12, 24),
        )
        self.head = nn.Conv2d(48, 10, 1)

    def forward(self, image: Tensor) -> Tensor:
        scores = nn.functional.leaky_relu(self.head(self.features(image)), 0.1)
        return nn.functional.adaptive_avg_pool2d(scores, (1, 1)).flatten(1)


def squeezenet() -> nn.Module:
    """A small SqueezeNet."""
    return seeded(SqueezeNet(), 11)
