"""Makes models of timm with seeded weights; it is copied into the project that is built."""

# mypy: disable-error-code="misc, import-not-found, import-untyped"

from __future__ import annotations

import torch

# PyPI's torchvision is built for CUDA: with another torch its own library does not load, and defines nothing.
_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    _LIBRARY.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import timm  # noqa: E402


def build(name: str) -> torch.nn.Module:
    """A model as timm makes it: norms and gains that begin at zero stay so."""
    torch.manual_seed(0)
    model: torch.nn.Module = timm.create_model(name, pretrained=False)
    return model.eval()
