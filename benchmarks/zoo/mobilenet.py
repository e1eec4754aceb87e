"""Mobile networks of inverted residuals."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded


def _conv(
    before: int,
    after: int,
    size: int,
    act: type[nn.Module] | None,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    layers = [
        nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after, eps=1e-3),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class _Gate(nn.Module):
    """Squeeze and excitation with a hard sigmoid."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, 8, 1)
        self.expand = nn.Conv2d(8, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.relu(self.reduce(nn.functional.adaptive_avg_pool2d(x, 1)))
        return x * nn.functional.hardsigmoid(self.expand(scale))


class _Inverted(nn.Module):
    def __init__(
        self,
        before: int,
        inner: int,
        after: int,
        size: int,
        stride: int,
        act: type[nn.Module],
        gated: bool,
    ) -> None:
        super().__init__()
        self.adds = stride == 1 and before == after
        self.body = nn.Sequential(
            _conv(before, inner, 1, act),
            _conv(inner, inner, size, act, stride, groups=inner),
            _Gate(inner) if gated else nn.Identity(),
            _conv(inner, after, 1, None),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


class MobileNetV2(nn.Module):
    """Inverted residuals with clipped rectifiers (Sandler, 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv(3, 8, 3, nn.ReLU6, 2),
            _Inverted(8, 16, 8, 3, 1, nn.ReLU6, False),
            _Inverted(8, 32, 16, 3, 2, nn.ReLU6, False),
            _Inverted(16, 48, 16, 3, 1, nn.ReLU6, False),
            _Inverted(16, 48, 24, 3, 2, nn.ReLU6, False),
            _conv(24, 64, 1, nn.ReLU6),
        )
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(64, 10))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image).mean([2, 3]))


class MobileNetV3(nn.Module):
    """Gates, hard swish, kernels of five (Howard, 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv(3, 8, 3, nn.Hardswish, 2),
            _Inverted(8, 16, 8, 3, 1, nn.ReLU, True),
            _Inverted(8, 32, 16, 3, 2, nn.ReLU, False),
            _Inverted(16, 48, 16, 5, 1, nn.Hardswish, True),
            _Inverted(16, 48, 24, 5, 2, nn.Hardswish, True),
            _conv(24, 64, 1, nn.Hardswish),
        )
        self.head = nn.Sequential(
            nn.Linear(64, 48), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(48, 10)
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.head(nn.functional.adaptive_avg_pool2d(self.features(image), 1).flatten(1))


def mobilenet_v2() -> nn.Module:
    """A small MobileNetV2."""
    return seeded(MobileNetV2(), 5)


def mobilenet_v3() -> nn.Module:
    """A small MobileNetV3."""
    return seeded(MobileNetV3(), 6)
