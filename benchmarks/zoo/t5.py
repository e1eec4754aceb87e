"""T5: an encoder and a decoder with positions relative to each other."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .weights import seeded

WORDS, WIDTH, HEADS = 100, 32, 4
BUCKETS, FARTHEST = 16, 64


class _Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.value = nn.Linear(WIDTH, WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor, of: Tensor, bias: Tensor | None) -> Tensor:
        q, k, v = self._split(self.query(x)), self._split(self.key(of)), self._split(self.value(of))
        scores = torch.matmul(q, k.transpose(3, 2)) * 0.25
        if bias is not None:
            scores = scores + bias
        y = torch.matmul(scores.softmax(-1), v).transpose(1, 2).contiguous()
        return self.out(y.view(x.shape[0], -1, WIDTH))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], -1, HEADS, WIDTH // HEADS).transpose(1, 2)


class _Distances(nn.Module):
    """A bias by how far two places lie apart: exact when near, in ever larger steps when far."""

    def __init__(self, both_ways: bool) -> None:
        super().__init__()
        self.both_ways = both_ways
        self.table = nn.Embedding(BUCKETS, HEADS)

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x.shape[1], device=x.device)
        bucket = self._bucket(places[None, :] - places[:, None])
        return self.table(bucket).permute(2, 0, 1).unsqueeze(0)

    def _bucket(self, apart: Tensor) -> Tensor:
        count, offset = BUCKETS, 0
        if self.both_ways:
            count //= 2
            offset = (apart > 0).to(torch.long) * count
            apart = apart.abs()
        else:
            apart = -torch.min(apart, torch.zeros_like(apart))
        exact = count // 2
        steps = torch.log(apart.float().clamp(min=1.0) / exact) / math.log(FARTHEST / exact)
        far = (exact + steps * (count - exact)).to(torch.long).clamp(max=count - 1)
        return offset + torch.where(apart < exact, apart, far)


class _Block(nn.Module):
    def __init__(self, crossed: bool) -> None:
        super().__init__()
        self.norm1, self.own = _Norm(), _Attention()
        self.norm2 = _Norm() if crossed else None
        self.other = _Attention() if crossed else None
        self.norm3 = _Norm()
        self.wide = nn.Linear(WIDTH, 2 * WIDTH, bias=False)
        self.narrow = nn.Linear(2 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor, bias: Tensor, memory: Tensor | None = None) -> Tensor:
        y = self.norm1(x)
        x = x + self.own(y, y, bias)
        if self.other is not None:
            x = x + self.other(self.norm2(x), memory, None)
        return x + self.narrow(torch.relu(self.wide(self.norm3(x))))


class T5(nn.Module):
    """Scores of the next target word at every place (Raffel, 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.near = _Distances(both_ways=True)
        self.encoder = nn.ModuleList(_Block(crossed=False) for _ in range(2))
        self.past = _Distances(both_ways=False)
        self.decoder = nn.ModuleList(_Block(crossed=True) for _ in range(2))
        self.norm, self.final = _Norm(), _Norm()
        self.head = nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        memory = self.words(source)
        bias = self.near(memory)
        for block in self.encoder:
            memory = block(memory, bias)
        memory = self.norm(memory)
        x = self.words(target)
        places = torch.arange(target.shape[1], device=target.device)
        future = places[None, :] > places[:, None]
        bias = self.past(x) + future.to(x.dtype) * -1e4
        for block in self.decoder:
            x = block(x, bias, memory)
        return self.head(self.final(x))


def t5() -> nn.Module:
    """A small T5."""
    return seeded(T5(), 20)
