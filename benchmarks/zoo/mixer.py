"""MLP-Mixer: linear layers over patches and over channels in turn."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from torch import Tensor, nn

from .weights import seeded


def _mlp(width: int, inner: int, bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width, bias=bias))


class _Block(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        # A bias of a token is one number for all its channels: the layer norms would undo it.
        self.tokens = _mlp(tokens, 32, bias=False)
        self.norm2 = nn.LayerNorm(width)
        self.channels = _mlp(width, 64, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """Two blocks (Tolstikhin, 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 8, 8)
        self.blocks = nn.Sequential(_Block(24, 24), _Block(24, 24))
        self.norm = nn.LayerNorm(24)
        self.head = nn.Linear(24, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))


def mlp_mixer() -> nn.Module:
    """A small MLP-Mixer."""
    return seeded(Mixer(), 15)
