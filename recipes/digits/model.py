"""A small convolutional network that reads handwritten digits of 8 by 8 pixels."""

from __future__ import annotations

import torch
from layers import ConvBlock
from torch import nn


class DigitClassifier(nn.Module):
    """Three convolutions and a linear head.

    Attributes:
        mean, std: Of the pixels of the training set; the pictures are standardised in the model,
            so that an app feeds it plain pixels in 0..1.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))
        self.features = nn.Sequential(
            ConvBlock(1, width, pool=False),
            ConvBlock(width, 2 * width, pool=True),
            ConvBlock(2 * width, 4 * width, pool=True),
        )
        self.dropout = nn.Dropout(0.3)
        # The flattened order of channels, rows and columns matters to the head: a converter that
        # changes the layout on the way is found out.
        self.head = nn.Linear(4 * width * 2 * 2, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Pixels in 0..1, [N, 1, 8, 8], to the logits of the digits 0 to 9, [N, 10]."""
        features = self.features((image - self.mean) / self.std)
        logits: torch.Tensor = self.head(self.dropout(torch.flatten(features, 1)))
        return logits


def build(width: int = 16) -> DigitClassifier:
    """The network with fresh weights.

    Args:
        width: Channels of the first convolution; the others have two and four times as many.
    """
    return DigitClassifier(width)
