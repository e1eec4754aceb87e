"""Resemblyzer 0.1.4's encoder of voices; its weights come from that wheel.

Resemblyzer's own module imports librosa and webrtcvad to be imported at all, and keeps the weights beside the
optimizer's state and two numbers of the loss, which the network does without.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "pretrained.pt"
BANDS, HIDDEN, LAYERS = 40, 256, 3
OF_THE_LOSS = ("similarity_weight", "similarity_bias")


class VoiceEncoder(nn.Module):
    """Mel spectrograms [N, frames, 40] to directions that tell voices apart [N, 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, HIDDEN, LAYERS, batch_first=True)
        self.linear = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, mels: Tensor) -> Tensor:
        """The last state of the last layer, rectified, of length 1."""
        _, (hidden, _) = self.lstm(mels)
        raw = torch.relu(self.linear(hidden[-1]))
        return raw / torch.norm(raw, dim=1, keepdim=True)


def build() -> nn.Module:
    """The network with its weights."""
    stored = torch.load(WEIGHTS, map_location="cpu", weights_only=True)["model_state"]
    model = VoiceEncoder()
    model.load_state_dict({k: v for k, v in stored.items() if k not in OF_THE_LOSS})
    return model
