"""The building block of the digit classifier."""

from __future__ import annotations

import torch
from torch import nn


class ConvBlock(nn.Module):
    """A 3x3 convolution with batch normalisation, a ReLU and, where asked for, 2x2 pooling."""

    def __init__(self, channels_in: int, channels_out: int, *, pool: bool) -> None:
        super().__init__()
        # No bias: the batch normalisation behind it has one.
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.pool: nn.Module = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """[N, channels_in, H, W] -> [N, channels_out, H, W], or half of H and W with pooling."""
        pooled: torch.Tensor = self.pool(torch.relu(self.norm(self.conv(features))))
        return pooled
