"""Trains the activity classifier and writes weights.safetensors; this made the committed weights.

Needs torch, numpy and safetensors. Seeds, order and thread count are fixed: the same torch on the
same kind of CPU gives the same bytes. Nothing is chosen by looking at the validation set: epochs and
augmentation were set beforehand, and looked at by cross-validation on the training windows
(`python train.py --cross-validate`).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from model import build
from safetensors.torch import save_file
from torch import nn

FOLDER = Path(__file__).parent
SEED = 0
EPOCHS = 150
BATCH = 20
FOLDS = 5

Split = tuple[torch.Tensor, torch.Tensor]


def load(name: str) -> Split:
    """Windows [n, 100, 6] and labels [n] of a split."""
    with np.load(FOLDER / "data" / f"{name}.npz") as split:
        return torch.from_numpy(split["x"]), torch.from_numpy(split["y"])


def augmented(window: torch.Tensor) -> torch.Tensor:
    """Windows that start elsewhere, are up to a fifth stronger or weaker, and hold some noise."""
    count, steps, channels = window.shape
    offset = torch.randint(0, steps, (count, 1))
    index = ((torch.arange(steps) + offset) % steps).unsqueeze(-1).expand(-1, -1, channels)
    strength = 0.8 + 0.4 * torch.rand(count, 1, channels)
    return window.gather(1, index) * strength + 0.05 * torch.randn_like(window)


def accuracy(model: nn.Module, split: Split) -> float:
    """Top-1 accuracy, in 0..1."""
    model.eval()
    with torch.inference_mode():
        return float((model(split[0]).argmax(1) == split[1]).double().mean())


def fit(split: Split) -> nn.Module:
    """A model trained on a split for a fixed number of epochs."""
    torch.manual_seed(SEED)
    window, label = split
    model = build()
    model.mean.copy_(window.mean((0, 1)))
    model.std.copy_(window.std((0, 1)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-2)
    steps = EPOCHS * -(-len(window) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    for _ in range(EPOCHS):
        model.train()
        for rows in torch.split(torch.randperm(len(window)), BATCH):
            loss = nn.functional.cross_entropy(
                model(augmented(window[rows])), label[rows], label_smoothing=0.05
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model


def cross_validate(split: Split) -> float:
    """Mean accuracy over folds of the training windows, each left out once."""
    # The classes take turns in the file, in rounds of four: whole rounds keep folds balanced.
    fold = torch.arange(len(split[0])) // 4 % FOLDS
    scores = []
    for left_out in range(FOLDS):
        kept = fold != left_out
        model = fit((split[0][kept], split[1][kept]))
        scores.append(accuracy(model, (split[0][~kept], split[1][~kept])))
    return float(np.mean(scores))


def main() -> None:
    """Trains, keeps the last weights, and prints the accuracies."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train = load("train")
    if "--cross-validate" in sys.argv[1:]:
        print(f"cross-validated top-1 {cross_validate(train):.4f}")
        return
    model = fit(train)
    save_file(model.state_dict(), FOLDER / "weights.safetensors")
    for name, split in (("train", train), ("val", load("val"))):
        print(f"{name} top-1 {accuracy(model, split):.4f}")


if __name__ == "__main__":
    main()
