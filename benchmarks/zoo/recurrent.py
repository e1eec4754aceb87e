"""Recurrent networks: an LSTM of two layers, a GRU in both directions, convolutions before a GRU."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded


class Lstm(nn.Module):
    """Two layers; a class of the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 24, num_layers=2, batch_first=True)
        self.head = nn.Linear(24, 5)

    def forward(self, window: Tensor) -> Tensor:
        states, _ = self.lstm(window)
        return self.head(states[:, -1])


class Gru(nn.Module):
    """Both directions; a class at every step, and one of the last states."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 20, batch_first=True, bidirectional=True)
        self.steps = nn.Linear(40, 4)
        self.whole = nn.Linear(40, 3)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor]:
        states, last = self.gru(window)
        return self.steps(states), self.whole(torch.cat((last[0], last[1]), dim=1))


class Crnn(nn.Module):
    """Reads a line of text: convolutions, columns as steps, scores for CTC (Shi, 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d((2, 1), (2, 1)),
        )
        self.gru = nn.GRU(16 * 4, 16, bidirectional=True)
        self.head = nn.Linear(32, 12)

    def forward(self, line: Tensor) -> Tensor:
        x = self.body(line).permute(3, 0, 1, 2).flatten(2)
        states, _ = self.gru(x)
        return self.head(states).log_softmax(-1).transpose(0, 1)


def lstm() -> nn.Module:
    """An LSTM classifier."""
    return seeded(Lstm(), 21)


def gru() -> nn.Module:
    """A bidirectional GRU."""
    return seeded(Gru(), 22)


def crnn() -> nn.Module:
    """A small CRNN."""
    return seeded(Crnn(), 23)
