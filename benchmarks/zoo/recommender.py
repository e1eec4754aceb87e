"""A recommender: categories through embeddings beside plain numbers."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded

FIELDS, VALUES = 5, 20


class WideAndDeep(nn.Module):
    """A linear part of all categories, and a deep one of their embeddings (Cheng, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.EmbeddingBag(FIELDS * VALUES, 1, mode="sum")
        self.embedding = nn.Embedding(FIELDS * VALUES, 6)
        self.deep = nn.Sequential(
            nn.Linear(FIELDS * 6 + 4, 32),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(32, 16),
            nn.ReLU(),
            nn.Linear(16, 1),
        )
        self.register_buffer("starts", torch.arange(FIELDS) * VALUES)

    def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
        ids = categories + self.starts
        deep = self.deep(torch.cat((self.embedding(ids).flatten(1), numbers), dim=1))
        return torch.sigmoid(self.wide(ids) + deep).squeeze(1)


def wide_and_deep() -> nn.Module:
    """A small recommender."""
    return seeded(WideAndDeep(), 38)
