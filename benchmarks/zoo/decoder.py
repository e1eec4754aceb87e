"""Decoders of text: GPT with learned positions, Llama with turned ones and shared keys."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded

WORDS, LENGTH, WIDTH, HEADS, SHARED = 100, 64, 32, 4, 2
SIZE = WIDTH // HEADS


class _GptBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(approximate="tanh"), nn.Linear(2 * WIDTH, WIDTH)
        )
        past = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
        self.register_buffer("past", past.view(1, 1, LENGTH, LENGTH), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).split(WIDTH, dim=2)
        q, k, v = (t.view(batch, length, HEADS, SIZE).transpose(1, 2) for t in (q, k, v))
        scores = (q @ k.transpose(-2, -1)) * SIZE**-0.5
        scores = scores.masked_fill(~self.past[:, :, :length, :length], -1e9)
        y = (scores.softmax(-1) @ v).transpose(1, 2).contiguous().view(batch, length, WIDTH)
        x = x + self.out(y)
        return x + self.mlp(self.norm2(x))


class Gpt(nn.Module):
    """Scores of the next word at every place; the head shares the words' weights (Radford, 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.positions = nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(_GptBlock(), _GptBlock())
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.head(self.norm(self.blocks(self.words(ids) + self.positions(places))))


class _RmsNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x[..., : SIZE // 2], x[..., SIZE // 2 :]
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def _repeated(x: Tensor) -> Tensor:
    batch, heads, length, size = x.shape
    times = HEADS // SHARED
    x = x[:, :, None].expand(batch, heads, times, length, size)
    return x.reshape(batch, heads * times, length, size)


class _LlamaBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1 = _RmsNorm()
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.key = nn.Linear(WIDTH, SHARED * SIZE, bias=False)
        self.value = nn.Linear(WIDTH, SHARED * SIZE, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.norm2 = _RmsNorm()
        self.gate = nn.Linear(WIDTH, 2 * WIDTH, bias=False)
        self.wide = nn.Linear(WIDTH, 2 * WIDTH, bias=False)
        self.narrow = nn.Linear(2 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, length, _ = x.shape
        y = self.norm1(x)
        q = self.query(y).view(batch, length, HEADS, SIZE).transpose(1, 2)
        k = self.key(y).view(batch, length, SHARED, SIZE).transpose(1, 2)
        v = self.value(y).view(batch, length, SHARED, SIZE).transpose(1, 2)
        q, k = _turned(q, cos, sin), _turned(k, cos, sin)
        y = nn.functional.scaled_dot_product_attention(
            q, _repeated(k), _repeated(v), is_causal=True
        )
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, WIDTH))
        y = self.norm2(x)
        return x + self.narrow(nn.functional.silu(self.gate(y)) * self.wide(y))


class Llama(nn.Module):
    """Rotary positions, grouped queries, gated layers (Touvron, 2023)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.blocks = nn.ModuleList(_LlamaBlock() for _ in range(2))
        self.norm = _RmsNorm()
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        speeds = 1.0 / 10000.0 ** (torch.arange(0, SIZE, 2).float() / SIZE)
        self.register_buffer("speeds", speeds, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device).to(self.speeds.dtype)
        angles = places[:, None] * self.speeds[None, :]
        angles = torch.cat((angles, angles), dim=-1)
        cos, sin = angles.cos(), angles.sin()
        x = self.words(ids)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.head(self.norm(x))


def gpt() -> nn.Module:
    """A small GPT."""
    return seeded(Gpt(), 18)


def llama() -> nn.Module:
    """A small Llama."""
    return seeded(Llama(), 19)
