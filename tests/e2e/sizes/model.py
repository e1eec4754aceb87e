"""Models whose inputs and outputs are of all kinds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Heads:
    start: torch.Tensor
    ends: tuple[torch.Tensor, torch.Tensor]


class Reader(nn.Module):
    """Two token inputs and a mask; outputs in a dict of a dataclass, a list and a dict."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.word = nn.Embedding(20, 8)
        self.kind = nn.Embedding(3, 8)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens: torch.Tensor, kinds: torch.Tensor, mask: torch.Tensor) -> dict:
        x = torch.tanh(self.mix(self.word(tokens) + self.kind(kinds)))
        kept = mask.to(x.dtype).unsqueeze(-1)
        pooled = (x * kept).sum(1) / kept.sum(1).clamp(min=1)
        scores = self.head(x)
        return {
            "heads": Heads(scores[..., 0], (scores[..., 1], scores[..., 2])),
            "states": [x, {"pooled": pooled}],
            "skipped": None,
        }


class Lone(nn.Module):
    """No batch axis at all, and an output that is one number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Linear(4, 6)

    def forward(self, signal: torch.Tensor) -> tuple:
        x = torch.relu(self.mix(signal))
        return x.mean(0), {"all": x, "loudest": x.amax()}


class Short(nn.Module):
    """Knows 12 positions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.position = nn.Embedding(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.position(torch.arange(x.shape[1]))


class Inner(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Exotic(nn.Module):
    """An operator that no converter knows, in `stack.1`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stack = nn.Sequential(nn.Linear(6, 6), Inner())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stack(x)
