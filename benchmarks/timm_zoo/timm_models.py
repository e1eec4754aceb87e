"""Makes models of timm with seeded weights; it is copied into the project that is built."""

# mypy: disable-error-code="misc, import-not-found, import-untyped"

from __future__ import annotations

from typing import Any

import torch

# PyPI's torchvision is built for CUDA: with another torch its own library does not load, and defines nothing.
_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    _LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm  # noqa: E402

DEAD = 1e-6
"""Answers that vary by less, relative, do not tell pictures apart."""


def build(name: str, **sizes: Any) -> torch.nn.Module:
    """A model as timm makes it: norms and gains that begin at zero stay so.

    Where its answer is the same whatever it is shown, as nobody would ship it, its norms see some pictures,
    and a head of zeros is drawn.
    """
    torch.manual_seed(0)
    model: torch.nn.Module = timm.create_model(name, pretrained=False, **sizes)
    with torch.no_grad():
        pictures = torch.randn(8, *model.default_cfg["input_size"])
        answers = model.eval()(pictures[:2])
        if (answers - answers.mean(0)).abs().max() <= DEAD * answers.abs().max():
            for layer in model.modules():
                if isinstance(layer, torch.nn.Linear) and not layer.weight.any():
                    layer.reset_parameters()
            _shown(model, pictures)
    return model.eval()


def _shown(model: torch.nn.Module, pictures: torch.Tensor) -> None:
    """Sets the statistics of batch norms by what reaches them."""
    for norm in model.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.reset_running_stats()
            norm.momentum = None
    model.train()(pictures)
