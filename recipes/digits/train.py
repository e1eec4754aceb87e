"""Trains the digit classifier and writes weights.safetensors; this made the committed weights.

Needs torch, numpy and safetensors. Seeds, order and thread count are fixed: the same torch on the
same kind of CPU gives the same bytes. Nothing is chosen by looking at the validation set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from model import build
from safetensors.torch import save_file
from torch import nn

FOLDER = Path(__file__).parent
SEED = 0
EPOCHS = 40
BATCH = 64
SHIFT = 1
"""Training pictures are moved by up to this many pixels, at random."""


def load(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels [n, 1, 8, 8] and labels [n] of a split."""
    with np.load(FOLDER / "data" / f"{name}.npz") as split:
        return torch.from_numpy(split["x"]), torch.from_numpy(split["y"])


def shifted(image: torch.Tensor) -> torch.Tensor:
    """Each picture moved by its own random number of pixels, filled with black."""
    size = image.shape[-1]
    padded = nn.functional.pad(image, (SHIFT,) * 4)
    moved = torch.empty_like(image)
    for row, (top, left) in enumerate(torch.randint(0, 2 * SHIFT + 1, (len(image), 2)).tolist()):
        moved[row] = padded[row, :, top : top + size, left : left + size]
    return moved


def accuracy(model: nn.Module, image: torch.Tensor, label: torch.Tensor) -> float:
    """Top-1 accuracy, in 0..1."""
    model.eval()
    with torch.inference_mode():
        return float((model(image).argmax(1) == label).double().mean())


def main() -> None:
    """Trains for a fixed number of epochs, keeps the last weights, and prints the accuracies."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    image, label = load("train")
    model = build()
    model.mean.fill_(image.mean())
    model.std.fill_(image.std())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(image) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for _ in range(EPOCHS):
        model.train()
        for rows in torch.split(torch.randperm(len(image)), BATCH):
            loss = nn.functional.cross_entropy(
                model(shifted(image[rows])), label[rows], label_smoothing=0.05
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    save_file(model.state_dict(), FOLDER / "weights.safetensors")
    for name in ("train", "val"):
        print(f"{name} top-1 {accuracy(model, *load(name)):.4f}")


if __name__ == "__main__":
    main()
