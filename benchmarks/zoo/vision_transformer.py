"""Attention over pictures: patches (ViT), shifted windows (Swin), unfolded features (MobileViT)."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded

HEIGHT, WIDTH = 32, 48


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1)) * (width // self.heads) ** -0.5
        if bias is not None:
            scores = scores + bias
        y = scores.softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, tokens, width))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches of eight, a class token, learned positions (Dosovitskiy, 2020)."""

    def __init__(self) -> None:
        super().__init__()
        width, tokens = 32, HEIGHT // 8 * WIDTH // 8
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, width))
        self.positions = nn.Parameter(torch.zeros(tokens + 1, width))
        self.blocks = nn.Sequential(_Block(width, 4), _Block(width, 4))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1) + self.positions
        return self.head(self.norm(self.blocks(x))[:, 0])


class _Windows(nn.Module):
    """Attention within windows, which are shifted in every other block."""

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        places = torch.stack([rows, columns]).flatten(1)
        apart = places[:, :, None] - places[:, None, :] + window - 1
        self.register_buffer("index", apart[0] * (2 * window - 1) + apart[1], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        size = self.window
        y = self.norm1(x)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = y.view(batch, height // size, size, width // size, size, channels)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(-1, size * size, channels)
        tokens = size * size
        bias = self.table[self.index.view(-1)].view(tokens, tokens, -1).permute(2, 0, 1)
        y = self.attention(y, bias.unsqueeze(0))
        y = y.view(batch, height // size, width // size, size, size, channels)
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, channels)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y
        return x + self.mlp(self.norm2(x))


class Swin(nn.Module):
    """Two stages of windows of four, patches merged between them (Liu, 2021).

    Windows that wrap around are not masked, as they are in the original.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.first = nn.Sequential(_Windows(16, 2, 4, 0), _Windows(16, 2, 4, 2))
        self.merge = nn.Linear(64, 32, bias=False)
        self.second = _Windows(32, 4, 2, 0)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(self.patches(image).permute(0, 2, 3, 1))
        parts = (x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2])
        x = self.second(self.merge(torch.cat(parts, -1)))
        return self.head(self.norm(x).mean((1, 2)))


class MobileViT(nn.Module):
    """Convolutions around attention between the same places of all patches (Mehta, 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.SiLU(),
            nn.Conv2d(16, 24, 3, 2, 1, bias=False),
            nn.BatchNorm2d(24),
            nn.SiLU(),
        )
        self.local = nn.Conv2d(24, 24, 3, padding=1, groups=24)
        self.blocks = nn.Sequential(_Block(24, 3), _Block(24, 3))
        self.fuse = nn.Sequential(nn.Conv2d(48, 32, 3, padding=1), nn.BatchNorm2d(32), nn.SiLU())
        self.head = nn.Linear(32, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        batch, channels, height, width = x.shape
        down, right = height // 2, width // 2
        y = self.local(x).reshape(batch * channels * down, 2, right, 2).transpose(1, 2)
        y = y.reshape(batch, channels, down * right, 4).permute(0, 3, 2, 1)
        y = self.blocks(y.reshape(batch * 4, down * right, channels))
        y = y.reshape(batch, 4, down * right, channels).permute(0, 3, 2, 1)
        y = y.reshape(batch * channels * down, right, 2, 2).transpose(1, 2)
        y = y.reshape(batch, channels, height, width)
        return self.head(self.fuse(torch.cat((x, y), 1)).mean((2, 3)))


def vit() -> nn.Module:
    """A small vision transformer."""
    return seeded(VisionTransformer(), 12)


def swin() -> nn.Module:
    """A small Swin transformer."""
    return seeded(Swin(), 13)


def mobilevit() -> nn.Module:
    """A small MobileViT."""
    return seeded(MobileViT(), 14)
