"""Boxes without suppression: anchors on two levels, and a transformer with queries."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded

CLASSES, ANCHORS = 4, 2
LEVELS = ((4, 6), (2, 3))


def _anchors() -> Tensor:
    """Centre and size of every anchor, relative to the picture."""
    boxes = []
    for height, width in LEVELS:
        for row in range(height):
            for column in range(width):
                for size in (0.2, 0.4)[:ANCHORS]:
                    boxes.append([(column + 0.5) / width, (row + 0.5) / height, size, size])
    return torch.tensor(boxes)


class Detector(nn.Module):
    """A pyramid of two levels; boxes by their corners, and scores (Liu, 2015; Lin, 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(
            nn.Conv2d(3, 12, 3, 2, 1),
            nn.BatchNorm2d(12),
            nn.LeakyReLU(0.1),
            nn.Conv2d(12, 24, 3, 2, 1),
            nn.BatchNorm2d(24),
            nn.LeakyReLU(0.1),
            nn.Conv2d(24, 24, 3, 2, 1),
            nn.BatchNorm2d(24),
            nn.LeakyReLU(0.1),
        )
        self.coarse = nn.Sequential(
            nn.Conv2d(24, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.LeakyReLU(0.1)
        )
        self.side = nn.Conv2d(24, 24, 1)
        self.down = nn.Conv2d(32, 24, 1)
        self.boxes = nn.Conv2d(24, ANCHORS * 4, 3, padding=1)
        self.scores = nn.Conv2d(24, ANCHORS * CLASSES, 3, padding=1)
        self.register_buffer("anchors", _anchors())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(image)
        coarse = self.down(self.coarse(fine))
        fine = self.side(fine) + nn.functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        moves, scores = [], []
        for level in (fine, coarse):
            batch = level.shape[0]
            moves.append(self.boxes(level).permute(0, 2, 3, 1).reshape(batch, -1, 4))
            scores.append(self.scores(level).permute(0, 2, 3, 1).reshape(batch, -1, CLASSES))
        moved = torch.cat(moves, dim=1)
        centre = self.anchors[:, :2] + 0.1 * moved[..., :2] * self.anchors[:, 2:]
        size = self.anchors[:, 2:] * torch.exp((0.2 * moved[..., 2:]).clamp(max=2.0))
        corners = torch.cat((centre - size / 2, centre + size / 2), dim=-1)
        return corners, torch.sigmoid(torch.cat(scores, dim=1))


class Detr(nn.Module):
    """Learned queries look at the features by torch's own transformer layers (Carion, 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 5, 4, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1)
        )
        self.rows = nn.Parameter(torch.zeros(4, 12))
        self.columns = nn.Parameter(torch.zeros(6, 12))
        self.encoder = nn.TransformerEncoderLayer(24, 4, 48, batch_first=True)
        self.decoder = nn.TransformerDecoderLayer(24, 4, 48, batch_first=True)
        self.queries = nn.Parameter(torch.zeros(5, 24))
        self.boxes = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4))
        self.scores = nn.Linear(24, CLASSES + 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.body(image)
        places = torch.cat(
            [
                self.columns.unsqueeze(0).repeat(4, 1, 1),
                self.rows.unsqueeze(1).repeat(1, 6, 1),
            ],
            dim=-1,
        ).flatten(0, 1)
        memory = self.encoder(x.flatten(2).transpose(1, 2) + places)
        queries = self.queries.unsqueeze(0).expand(x.shape[0], -1, -1)
        found = self.decoder(queries, memory)
        return torch.sigmoid(self.boxes(found)), self.scores(found)


def detector() -> nn.Module:
    """A detector of anchors."""
    return seeded(Detector(), 28)


def detr() -> nn.Module:
    """A small DETR."""
    return seeded(Detr(), 29)
