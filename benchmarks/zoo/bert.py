"""Encoders of text: BERT with segments and a pooler, DistilBERT without."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .weights import seeded

WORDS, LENGTH, WIDTH, HEADS = 100, 64, 32, 4


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH)
        # A bias of the keys moves all scores of a query alike: softmax would undo it.
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (self._split(part(x)) for part in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
        y = (scores + bias).softmax(-1) @ v
        y = y.permute(0, 2, 1, 3).contiguous()
        return self.out(y.view(y.shape[0], y.shape[1], WIDTH))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).permute(0, 2, 1, 3)


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = _Attention()
        self.norm1 = nn.LayerNorm(WIDTH, eps=1e-12)
        self.wide = nn.Linear(WIDTH, 2 * WIDTH)
        self.narrow = nn.Linear(2 * WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-12)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.norm1(x + self.drop(self.attention(x, bias)))
        y = self.narrow(nn.functional.gelu(self.wide(x)))
        return self.norm2(x + self.drop(y))


class Encoder(nn.Module):
    """Words, positions and, where there are any, segments; two layers (Devlin, 2018)."""

    def __init__(self, segments: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.segments = nn.Embedding(2, WIDTH) if segments else None
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(_Layer() for _ in range(2))

    def forward(self, ids: Tensor, mask: Tensor, kinds: Tensor | None = None) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        x = self.words(ids) + self.positions(places)
        if self.segments is not None:
            x = x + self.segments(kinds)
        bias = (1.0 - mask[:, None, None, :].to(x.dtype)) * -1e4
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, bias)
        return x


class Bert(nn.Module):
    """States of all words, and a class of the first one's."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(segments=True)
        self.pooler = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, ids: Tensor, mask: Tensor, kinds: Tensor) -> tuple[Tensor, Tensor]:
        states = self.encoder(ids, mask, kinds)
        return self.head(torch.tanh(self.pooler(states[:, 0]))), states


class DistilBert(nn.Module):
    """A class of the mean over the words that the mask lets pass (Sanh, 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(segments=False)
        self.before = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.encoder(ids, mask)
        weights = mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        return self.head(torch.relu(self.before(mean)))


def bert() -> nn.Module:
    """A small BERT."""
    return seeded(Bert(), 16)


def distilbert() -> nn.Module:
    """A small DistilBERT."""
    return seeded(DistilBert(), 17)
