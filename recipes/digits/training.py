"""Training functions for transforms: what prunings, roundings and teachers leave is trained on.

Each takes the model, the data by name, and a `run` with the recipe's arguments; see docs/transforms.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from train import shifted

BATCH = 64
TEMPERATURE = 2.0
"""How much a teacher's and a pupil's answers are softened before they are compared."""

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Of pictures [n, 1, 8, 8] and their labels [n]."""


def finetune(model: nn.Module, data: dict[str, torch.Tensor], run: Any) -> None:
    """Trains on the labels: `epochs` times over the data, from the rate `lr` down to zero."""

    def loss(image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(model(image), label, label_smoothing=0.05)

    _fit(model, data, run, loss)


def distill(model: nn.Module, data: dict[str, torch.Tensor], run: Any) -> None:
    """Trains on the teacher's answers (G. Hinton et al., arXiv:1503.02531).

    A teacher answers to any picture: half of them are blends of two, which no label fits
    (L. Beyer et al., arXiv:2106.05237).
    """

    def loss(image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        part = torch.rand(len(image), 1, 1, 1)
        blend = part * image + (1 - part) * image[torch.randperm(len(image))]
        seen = torch.cat([image, blend])
        with torch.no_grad():
            wanted = nn.functional.log_softmax(run.teacher(seen) / TEMPERATURE, 1)
        own = nn.functional.log_softmax(model(seen) / TEMPERATURE, 1)
        apart = nn.functional.kl_div(own, wanted, reduction="batchmean", log_target=True)
        return apart * TEMPERATURE**2

    _fit(model, data, run, loss)


def _fit(model: nn.Module, data: dict[str, torch.Tensor], run: Any, loss: Loss) -> None:
    image, label = data["image"], data["labels"]
    epochs: int = run.args["epochs"]
    if run.args.get("standardise"):
        # A pupil without weights of its own has not seen the pixels yet.
        model.mean.fill_(image.mean())
        model.std.fill_(image.std())
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.args.get("lr", 1e-3))
    total = epochs * -(-len(image) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=run.args.get("lr", 1e-3), total_steps=total
    )
    begin = 0
    state = run.resume()
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        begin = state["epoch"]
    for epoch in range(begin, epochs):
        told = 0.0
        for rows in torch.split(torch.randperm(len(image)), BATCH):
            found = loss(shifted(image[rows]), label[rows])
            optimizer.zero_grad()
            torch.autograd.backward(found)
            optimizer.step()
            schedule.step()
            told += float(found.detach()) * len(rows)
        run.progress(epoch + 1, epochs, loss=told / len(image))
        if (epoch + 1) % 5 == 0:
            run.save(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "epoch": epoch + 1,
                }
            )
