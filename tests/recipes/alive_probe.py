"""Looks whether a recipe's model is alive; runs inside the toolchain that has torch.

Reads a JSON object from stdin (`factory`, `args`, `checkpoint`, `splits`: name to `[file, inputs,
labels]`), with the recipe's folder as the current directory, and writes one to stdout.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

PERTURBATION = 0.1
"""Of a tensor's own size."""

Tensor = Any


def build(asked: dict[str, Any]) -> Any:
    """The model with the committed weights, as it is deployed."""
    sys.path.insert(0, str(Path.cwd()))
    module, function = asked["factory"].split(":")
    model = getattr(importlib.import_module(module), function)(**asked["args"])
    model.load_state_dict(load_file(asked["checkpoint"]), strict=True)
    return model.eval()


def signal(output: Tensor) -> float:
    """How much the output varies over the samples."""
    return float((output - output.mean(dim=0)).norm())


def sensitivities(model: Any, inputs: list[Tensor]) -> dict[str, float]:
    """How much each tensor of weights moves the output when it is perturbed, by its name.

    Whole numbers are left out: counters of batches, which matter to training only.
    """
    # A copy: an output may be a view of a tensor that is about to be perturbed.
    before = model(*inputs).clone()
    scale = signal(before) or 1.0
    generator = torch.Generator().manual_seed(0)
    moved = {}
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        kept = tensor.clone()
        size = kept.square().mean().sqrt().item() or 1.0
        tensor.add_(PERTURBATION * size * torch.randn(tensor.shape, generator=generator))
        moved[name] = float((model(*inputs) - before).norm()) / scale
        tensor.copy_(kept)
    return moved


def main() -> None:
    """Prints what was found."""
    asked = json.load(sys.stdin)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    model = build(asked)
    accuracy, report = {}, {}
    for name, (file, names, labels) in asked["splits"].items():
        with np.load(file) as split:
            inputs = [torch.from_numpy(split[key]) for key in names]
            wanted = torch.from_numpy(split[labels])
        output = model(*inputs)
        chosen = output.argmax(dim=1)
        accuracy[name] = float((chosen == wanted).double().mean())
        report[name] = {
            "signal": signal(output) / float(output.norm()),
            "least_varying": float(output.std(dim=0).min() / output.std()),
            "classes": len(chosen.unique()),
            "finite": bool(output.isfinite().all()),
        }
    print(
        json.dumps(
            {
                "accuracy": accuracy,
                "outputs": report,
                "moved": sensitivities(model, inputs),
                "parameters": sum(p.numel() for p in model.parameters()),
            }
        )
    )


if __name__ == "__main__":
    main()
