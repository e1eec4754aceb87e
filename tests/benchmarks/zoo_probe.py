"""Looks whether the zoo's architectures are alive; runs inside the toolchain that has torch.

Writes a JSON object to stdout: for each architecture its number of parameters, the shape of each
output with how much it varies over the samples, and how much each tensor of weights moves the outputs.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import torch

from benchmarks.zoo.architectures import ARCHITECTURES, Port

Tensor = Any
SAMPLES, LENGTH = 8, 12


def drawn(port: Port, generator: Any) -> Tensor:
    """Random inputs: a row is a sample where there is a batch axis."""
    shape = [SAMPLES if n == "N" else LENGTH if isinstance(n, str) else n for n in port["shape"]]
    if port.get("dtype") == "int64":
        return torch.randint(0, port["range"][1] + 1, shape, generator=generator)
    make = torch.rand if "range" in port else torch.randn
    return make(shape, generator=generator)


def looked_at(name: str) -> dict[str, Any]:
    """One architecture.

    A tensor's gradient times its own size is how far outputs move when it is perturbed by as much;
    both outputs and directions are scaled, so that 1 is as much as the outputs vary.
    """
    architecture = ARCHITECTURES[name]
    module = importlib.import_module(f"benchmarks.zoo.{architecture.family}")
    model = getattr(module, name)().requires_grad_(True)  # Fixed positions are weights as well.
    generator = torch.Generator().manual_seed(0)
    fed = {n: drawn(port, generator) for n, port in architecture.inputs.items()}
    found = model(**fed) if architecture.requirements else model(*fed.values())
    if isinstance(found, dict):
        found = tuple(found.values())
    outputs = found if isinstance(found, tuple) else (found,)
    varies, total = [], torch.zeros(())
    for output in outputs:
        spread = (output - output.mean(0)).detach().norm()
        varies.append(float(spread / output.detach().norm()))
        direction = torch.randn(output.shape, generator=generator)
        total = total + (output * direction).sum() / spread
    total.backward()
    parameters = dict(model.named_parameters())
    moves = {
        path: float(p.grad.norm() * p.detach().square().mean().sqrt()) if p.grad is not None else 0
        for path, p in parameters.items()
    }
    distinct = {p.detach().numpy().tobytes() for p in parameters.values()}
    return {
        "parameters": sum(p.numel() for p in parameters.values()),
        "training": model.training,
        "copies": len(parameters) - len(distinct),
        "outputs": len(outputs),
        "varies": varies,
        "moves": moves,
    }


def main() -> None:
    """Looks at all that run in the environment of a requirements file, or of none."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else None
    # The fast path of attention has no gradient.
    torch.backends.mha.set_fastpath_enabled(False)
    names = [n for n, each in ARCHITECTURES.items() if each.requirements == wanted]
    json.dump({name: looked_at(name) for name in names}, sys.stdout)


if __name__ == "__main__":
    main()
