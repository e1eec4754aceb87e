"""Convolutions over time that see the past only: a TCN, and a WaveNet with gates and skips."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded


class _Causal(nn.Module):
    """Pads both ends and cuts what looks ahead."""

    def __init__(self, before: int, after: int, dilation: int) -> None:
        super().__init__()
        self.cut = 2 * dilation
        self.conv = nn.Conv1d(before, after, 3, padding=self.cut, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[:, :, : -self.cut].contiguous()


class _Block(nn.Module):
    def __init__(self, before: int, after: int, dilation: int) -> None:
        super().__init__()
        self.first = _Causal(before, after, dilation)
        self.second = _Causal(after, after, dilation)
        self.shortcut = nn.Conv1d(before, after, 1) if before != after else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.second(torch.relu(self.first(x))))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Tcn(nn.Module):
    """Residual blocks of growing dilation (Bai, 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_Block(6, 16, 1), _Block(16, 16, 2), _Block(16, 24, 4))
        self.head = nn.Linear(24, 5)

    def forward(self, window: Tensor) -> Tensor:
        x = self.blocks(window.transpose(1, 2))
        return self.head(x[:, :, -1])


class _Gated(nn.Module):
    def __init__(self, dilation: int, last: bool) -> None:
        super().__init__()
        self.pad = dilation
        self.both = nn.Conv1d(16, 32, 2, dilation=dilation)
        self.skip = nn.Conv1d(16, 16, 1)
        self.residual = None if last else nn.Conv1d(16, 16, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, gates = self.both(nn.functional.pad(x, (self.pad, 0))).chunk(2, dim=1)
        y = torch.tanh(values) * torch.sigmoid(gates)
        return x if self.residual is None else x + self.residual(y), self.skip(y)


class WaveNet(nn.Module):
    """Scores of the next sample at every place (van den Oord, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 16, 1)
        self.layers = nn.ModuleList(_Gated(d, d == 8) for d in (1, 2, 4, 8))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(16, 16, 1), nn.ReLU(), nn.Conv1d(16, 20, 1))

    def forward(self, wave: Tensor) -> Tensor:
        x = self.stem(wave)
        total = torch.zeros_like(x)
        for layer in self.layers:
            x, skip = layer(x)
            total = total + skip
        return self.head(total)


def tcn() -> nn.Module:
    """A small TCN."""
    return seeded(Tcn(), 24)


def wavenet() -> nn.Module:
    """A small WaveNet."""
    return seeded(WaveNet(), 25)
