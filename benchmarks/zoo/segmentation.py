"""A class for every pixel: U-Net, and DeepLab's pyramid of dilated convolutions."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded


def _double(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """Down twice, up twice, joined at each level (Ronneberger, 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.top, self.middle, self.bottom = _double(3, 8), _double(8, 16), _double(16, 24)
        self.pool = nn.MaxPool2d(2)
        self.up1 = nn.ConvTranspose2d(24, 16, 2, stride=2)
        self.join1 = _double(32, 16)
        self.up2 = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.join2 = _double(16, 8)
        self.head = nn.Conv2d(8, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        top = self.top(image)
        middle = self.middle(self.pool(top))
        x = self.up1(self.bottom(self.pool(middle)))
        x = self.up2(self.join1(torch.cat([middle, x], dim=1)))
        return self.head(self.join2(torch.cat([top, x], dim=1)))


class DeepLab(nn.Module):
    """Dilated convolutions and the picture's mean side by side, enlarged again (Chen, 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 12, 3, 2, 1),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, 2, 1),
            nn.BatchNorm2d(24),
            nn.ReLU(),
        )
        self.near = nn.Conv2d(24, 12, 1)
        self.far = nn.Conv2d(24, 12, 3, padding=2, dilation=2)
        self.farther = nn.Conv2d(24, 12, 3, padding=4, dilation=4)
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(24, 12, 1), nn.ReLU())
        self.project = nn.Sequential(nn.Conv2d(48, 16, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.body(image)
        whole = nn.functional.interpolate(
            self.whole(x), size=x.shape[-2:], mode="bilinear", align_corners=False
        )
        x = torch.cat([self.near(x), self.far(x), self.farther(x), whole], dim=1)
        x = self.head(self.project(x))
        return nn.functional.interpolate(
            x, size=image.shape[-2:], mode="bilinear", align_corners=False
        )


def unet() -> nn.Module:
    """A small U-Net."""
    return seeded(UNet(), 26)


def deeplab() -> nn.Module:
    """A small DeepLab."""
    return seeded(DeepLab(), 27)
