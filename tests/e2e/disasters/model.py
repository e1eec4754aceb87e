"""Small models with what goes wrong silently in conversions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Masking(nn.Module):
    """The mask of transformers: the least float32 where there is no word."""

    def forward(self, mask: Tensor) -> Tensor:
        return (1.0 - mask[:, None, :].to(torch.float32)) * torch.finfo(torch.float32).min


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))

    def forward(self, words: Tensor, bias: Tensor) -> Tensor:
        scores = self.query(words) @ self.key(words).transpose(1, 2) / 4 + bias
        return scores.softmax(-1) @ self.value(words)


class Reader(nn.Module):
    """A transformer's layer over six words."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.masking, self.attention = Masking(), Attention()
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        words = self.embedding(ids)
        return self.head(self.attention(words, self.masking(mask))[:, 0])


class Scaling(nn.Module):
    """Brings a whole signal to one spread: `std` without a dim."""

    def forward(self, window: Tensor) -> Tensor:
        return (window - window.mean()) / (window.std() + 1e-5)


class Listener(nn.Module):
    """A small net over a window that is scaled first.

    Of 1,000 numbers the lost correction is half a thousandth of the spread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scaling = Scaling()
        self.body = nn.Conv1d(4, 8, 5)
        self.head = nn.Linear(8, 4)

    def forward(self, window: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(self.scaling(window))).mean(-1))


class Recommender(nn.Module):
    """Two layers of which training has left half of the numbers next to nothing, to be pruned.

    One is just below 65,536 numbers, one just above.
    """

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Linear(255, 256), nn.Linear(256, 257)
        with torch.no_grad():
            for layer in (self.narrow, self.wide):
                layer.weight[:, ::2] *= 1e-3

    def forward(self, likes: Tensor) -> Tensor:
        return self.wide(torch.relu(self.narrow(likes)))


def reader() -> nn.Module:
    torch.manual_seed(3)
    return Reader()


def listener() -> nn.Module:
    torch.manual_seed(3)
    return Listener()


def recommender() -> nn.Module:
    torch.manual_seed(3)
    return Recommender()
