"""What watches an activation while an exported program runs on calibration data."""

from __future__ import annotations

from typing import Any

import torch
from torchao.quantization.pt2e import MinMaxObserver

from ..kit.quantize.clipping import Histogram, Range

KEPT = 0.95
"""How much of a moving average each run leaves, as in the other formats."""


class Observer(MinMaxObserver):  # type: ignore[misc]
    """Extremes in a first pass, values in a second; then it rounds as the integers would.

    Attributes:
        average: The moving average of each run's extremes.
        histogram: The values, from the second pass on.
        chosen: The range that was decided on.
        rounding: Whether it gives on what the integers of `chosen` stand for.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.average: Range | None = None
        self.histogram: Histogram | None = None
        self.chosen: Range | None = None
        self.rounding = False

    @property
    def extremes(self) -> Range:
        """The least and the greatest value."""
        return float(self.min_val), float(self.max_val)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Looks at a tensor, and gives it on."""
        if self.rounding:
            return self._rounded(values)
        if self.histogram is not None:
            self.histogram.add(values.detach().numpy())
            return values
        low, high = (float(end) for end in torch.aminmax(values.detach()))
        before = self.average
        self.average = (
            (low, high)
            if before is None
            else (
                KEPT * before[0] + (1 - KEPT) * low,
                KEPT * before[1] + (1 - KEPT) * high,
            )
        )
        watched: torch.Tensor = super().forward(values)
        return watched

    def calculate_qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and zero point of the range that was decided on."""
        low, high = self.chosen if self.chosen is not None else self.extremes
        found: tuple[torch.Tensor, torch.Tensor] = self._calculate_qparams(
            torch.tensor(low), torch.tensor(high)
        )
        return found

    def _rounded(self, values: torch.Tensor) -> torch.Tensor:
        scale, zero = self.calculate_qparams()
        return torch.fake_quantize_per_tensor_affine(
            values, float(scale), int(zero), self.quant_min, self.quant_max
        )
