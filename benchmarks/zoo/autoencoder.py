"""Pictures through a narrow place: an autoencoder, and the decoder of a variational one."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import torch
from torch import Tensor, nn

from .weights import seeded


class Autoencoder(nn.Module):
    """Strided convolutions down, transposed ones with output padding up; the code as well."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1),
            nn.ELU(),
            nn.Conv2d(8, 16, 3, 2, 1),
            nn.ELU(),
            nn.Flatten(),
            nn.Linear(16 * 4 * 6, 12),
        )
        self.widen = nn.Linear(12, 16 * 4 * 6)
        self.decode = nn.Sequential(
            nn.ConvTranspose2d(16, 8, 3, 2, 1, output_padding=1),
            nn.ELU(),
            nn.ConvTranspose2d(8, 1, 3, 2, 1, output_padding=1),
            nn.Sigmoid(),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        code = self.encode(image)
        x = nn.functional.elu(self.widen(code)).view(-1, 16, 4, 6)
        return self.decode(x), code


class Decoder(nn.Module):
    """A code to a picture: transposed convolutions of four, as in DCGAN (Radford, 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Linear(12, 24 * 4 * 6)
        self.body = nn.Sequential(
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.ConvTranspose2d(24, 16, 4, 2, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 4, 2, 1),
        )

    def forward(self, code: Tensor) -> Tensor:
        return torch.tanh(self.body(self.widen(code).unflatten(1, (24, 4, 6))))


def autoencoder() -> nn.Module:
    """A convolutional autoencoder."""
    return seeded(Autoencoder(), 33)


def vae_decoder() -> nn.Module:
    """A decoder of pictures."""
    return seeded(Decoder(), 34)
