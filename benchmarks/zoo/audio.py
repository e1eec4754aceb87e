"""Encoders of sound: a transformer over a spectrogram made of convolutions, and a Conformer."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .weights import seeded


class _Spectrogram(nn.Module):
    """The logarithm of the power in bands, by a bank of windowed waves as a convolution."""

    def __init__(self, bands: int, window: int, step: int) -> None:
        super().__init__()
        time = torch.arange(window) / window
        shape = torch.hann_window(window, periodic=False)
        angles = 2 * math.pi * torch.arange(1, bands + 1)[:, None] * time[None, :]
        bank = torch.cat((angles.cos() * shape, angles.sin() * shape)) / math.sqrt(window)
        self.register_buffer("bank", bank.unsqueeze(1))
        self.bands, self.step = bands, step

    def forward(self, wave: Tensor) -> Tensor:
        parts = nn.functional.conv1d(wave.unsqueeze(1), self.bank, stride=self.step)
        power = parts[:, : self.bands].pow(2) + parts[:, self.bands :].pow(2)
        return torch.log(torch.clamp(power, min=1e-5))


class AudioEncoder(nn.Module):
    """A spectrogram, two convolutions, fixed waves as positions, a transformer (Radford, 2022)."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrogram = _Spectrogram(16, 64, 16)
        self.conv1 = nn.Conv1d(16, 24, 3, padding=1)
        self.conv2 = nn.Conv1d(24, 24, 3, stride=2, padding=1)
        steps = torch.arange(24)[:, None] * torch.exp(-0.5 * torch.arange(12))[None, :]
        self.register_buffer("positions", torch.cat((steps.sin(), steps.cos()), dim=1))
        layer = nn.TransformerEncoderLayer(
            24, 4, 48, batch_first=True, activation="gelu", norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(24)

    def forward(self, wave: Tensor) -> Tensor:
        x = nn.functional.gelu(self.conv1(self.spectrogram(wave)))
        x = nn.functional.gelu(self.conv2(x)).permute(0, 2, 1)
        return self.norm(self.encoder(x + self.positions[: x.shape[1]]))


class _Module(nn.Module):
    """A Conformer's convolutions: gated, depthwise, normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Conv1d(width, 2 * width, 1)
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.batch = nn.BatchNorm1d(width)
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.glu(self.wide(self.norm(x).transpose(1, 2)), dim=1)
        y = nn.functional.silu(self.batch(self.depthwise(y)))
        return self.out(y).transpose(1, 2)


def _feed(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
    )


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.after = _feed(width), _feed(width)
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.module = _Module(width)
        self.last = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.before(x)
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.module(x)
        return self.last(x + 0.5 * self.after(x))


class Conformer(nn.Module):
    """Two blocks over features; scores of characters at every second step (Gulati, 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU())
        self.enter = nn.Linear(4 * 8, 24)
        self.blocks = nn.Sequential(_Block(24), _Block(24))
        self.head = nn.Linear(24, 12)

    def forward(self, features: Tensor) -> Tensor:
        x = self.down(features.unsqueeze(1)).transpose(1, 2).flatten(2)
        return self.head(self.blocks(self.enter(x))).log_softmax(-1)


def audio_encoder() -> nn.Module:
    """An encoder of waves."""
    return seeded(AudioEncoder(), 31)


def conformer() -> nn.Module:
    """A small Conformer."""
    return seeded(Conformer(), 32)
