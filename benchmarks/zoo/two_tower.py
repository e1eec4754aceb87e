"""Two pictures through one tower: how alike they are."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from torch import Tensor, nn

from .weights import seeded


class Siamese(nn.Module):
    """The cosine between two embeddings, and the embeddings (Bromley, 1993)."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, 1),
            nn.GroupNorm(4, 16),
            nn.Softplus(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 2 * 3, 16),
        )

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a = nn.functional.normalize(self.tower(left), dim=1)
        b = nn.functional.normalize(self.tower(right), dim=1)
        return (a * b).sum(1), a, b


def siamese() -> nn.Module:
    """A small two-tower network."""
    return seeded(Siamese(), 39)
