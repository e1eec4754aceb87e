"""Convolutions in a row: a small CNN with batch norms, and a VGG without."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from torch import Tensor, nn

from .weights import seeded


class Cnn(nn.Module):
    """Three convolutions with batch norms, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 12), (12, 16), (16, 24)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(24 * 4 * 6, 10))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image).flatten(1))


class Vgg(nn.Module):
    """Pairs of convolutions, adaptive pooling, and a head of three layers (Simonyan, 2014)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for after in (8, 16, 32):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
            layers += [nn.Conv2d(after, after, 3, padding=1), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
            before = after
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d((2, 3))
        self.head = nn.Sequential(
            nn.Linear(32 * 6, 64),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(64, 32),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(32, 10),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.pool(self.features(image)).flatten(1))


def cnn() -> nn.Module:
    """A small CNN."""
    return seeded(Cnn(), 1)


def vgg() -> nn.Module:
    """A small VGG."""
    return seeded(Vgg(), 2)
