"""Measures the table of docs/accuracy.md: `python docs/accuracy.py`, where torch and safetensors are.

Weights alone are rounded or made zero, as a quantizer of weights would, and nothing is converted.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

RECIPES = Path(__file__).parents[1] / "recipes"
ARGUMENTS: dict[str, dict[str, int]] = {"digits": {"width": 16}, "activity": {"hidden": 32}}
PRUNED = 0.5


def rounded(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """The weight with one symmetric scale a channel."""
    rows = weight.flatten(1)
    top = 2 ** (bits - 1) - 1
    scale = rows.abs().amax(1, keepdim=True).clamp(min=1e-12) / top
    return ((rows / scale).round().clamp(-top - 1, top) * scale).reshape(weight.shape)


def pruned(weight: torch.Tensor) -> torch.Tensor:
    """The weight with its smaller half zero."""
    least = weight.abs().flatten().kthvalue(int(PRUNED * weight.numel())).values
    return torch.where(weight.abs() <= least, 0.0, weight)


def bits(count: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Rounds to so many bits."""
    return lambda weight: rounded(weight, count)


@torch.no_grad()
def main() -> None:
    """Prints a line a recipe and way."""
    ways = {"8 bits": bits(8), "4 bits": bits(4), "3 bits": bits(3), "half zero": pruned}
    for recipe, arguments in ARGUMENTS.items():
        folder = RECIPES / recipe
        sys.path.insert(0, str(folder))
        sys.modules.pop("model", None)
        model: Any = importlib.import_module("model").build(**arguments).eval()
        sys.path.pop(0)
        model.load_state_dict(load_file(folder / "weights.safetensors"))
        data = np.load(folder / "data" / "val.npz")
        rows, labels = torch.from_numpy(data["x"]).float(), torch.from_numpy(data["y"])
        reference = model(rows)
        for name, way in ways.items():
            changed = copy.deepcopy(model)
            for weight in changed.parameters():
                if weight.dim() > 1:
                    weight.copy_(way(weight))
            given = changed(rows)
            error = (given - reference).norm() / (reference - reference.mean(0)).norm()
            right = (given.argmax(1) == labels).float().mean()
            print(f"{recipe:<9} {name:<10} signal_error {error:.3f}  top1 {right:.3f}")


if __name__ == "__main__":
    main()
