"""An LSTM that tells what a person does from a smart watch's accelerometer and gyroscope."""

from __future__ import annotations

import torch
from torch import nn

CHANNELS, CLASSES = 6, 4


class ActivityClassifier(nn.Module):
    """A recurrent layer over the window, its outputs averaged over time, and a linear head.

    Attributes:
        mean, std: Of each channel over the training windows; the signals are standardised in the
            model, so that an app feeds it what the sensors say.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("std", torch.ones(CHANNELS))
        self.lstm = nn.LSTM(CHANNELS, hidden, batch_first=True)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(hidden, CLASSES)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """Signals [N, 100, 6] to logits [N, 4].

        The channels are acceleration x, y, z and rotation x, y, z; the classes are badminton,
        running, standing and walking.
        """
        states, _ = self.lstm((window - self.mean) / self.std)
        # The mean over time, not the last state: an activity lasts for the whole window.
        logits: torch.Tensor = self.head(self.dropout(states.mean(dim=1)))
        return logits


def build(hidden: int = 32) -> ActivityClassifier:
    """The network with fresh weights.

    Args:
        hidden: Size of the LSTM's state.
    """
    return ActivityClassifier(hidden)
