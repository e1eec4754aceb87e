"""Shows, in the `coreml` toolchain, what `diagnosis.defects` says of it: `show_defects.py BACKENDS`.

Prints as JSON the ratio of what a package gives to what the model does, and what a pruner leaves.
"""

# mypy: disable-error-code="misc, import-not-found"

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, sys.argv[1])

from backends.coreml.evaluator.program import Program
from backends.coreml.libraries import ct, torch
from backends.coreml.quantize.audit import audit
from backends.kit.protocol.contract import Contract

X = torch.tensor([[1.0, 2.0, 3.0], [4.0, 9.0, 7.0]])
SPELLINGS: dict[str, Callable[[Any], Any]] = {
    "std()": lambda x: x.std(),
    "var()": lambda x: x.var(),
    "std(correction=1)": lambda x: x.std(correction=1),
    "flatten().var(0)": lambda x: x.flatten().var(0),
    "var((0, 1), correction=2)": lambda x: x.var((0, 1), correction=2),
}


class Spread(torch.nn.Module):
    def __init__(self, spread: Callable[[Any], Any]) -> None:
        super().__init__()
        self.spread = spread

    def forward(self, x: Any) -> Any:
        return self.spread(x) * 1.0


def convert(captured: Any, shape: tuple[int, ...], precision: Any) -> Any:
    return ct.convert(
        captured,
        inputs=[ct.TensorType("x", shape=shape)],
        outputs=[ct.TensorType("y")],
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=precision,
        skip_model_load=True,
    )


def ratios(folder: Path) -> dict[str, float]:
    found = {}
    for name, spread in SPELLINGS.items():
        model = Spread(spread).eval()
        exported = torch.export.export(model, (X,)).run_decompositions({})
        for way, captured in (("trace", torch.jit.trace(model, (X,))), ("export", exported)):
            package = folder / "spread.mlpackage"
            convert(captured, (2, 3), ct.precision.FLOAT32).save(str(package))
            given = Program.open(package).run({"x": X.numpy()})["y"]
            found[f"{way} {name}"] = round(float(given.item() / model(X).item()), 4)
    return found


def pruned(folder: Path) -> dict[str, Any]:
    """The part of two weights that coremltools prunes in float16, where half was asked for."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(255, 256), torch.nn.Linear(256, 257)).eval()
    traced = torch.jit.trace(model, (torch.ones(1, 255),))
    package = convert(traced, (1, 255), ct.precision.FLOAT16)
    optimize = ct.optimize.coreml
    config = optimize.OptimizationConfig(
        optimize.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=512)
    )
    small = optimize.prune_weights(package, config)
    dense = optimize.decompress_weights(small)._mil_program
    weights = [op.val.val for op in dense.functions["main"].operations if op.op_type == "const"]
    saved = folder / "pruned.mlpackage"
    small.save(str(saved))
    found = {
        str(w.size): round(float((w == 0).mean()), 3) for w in weights if getattr(w, "ndim", 0) == 2
    }
    return {**found, "audit": audit(saved, Contract([], []), {"sparsity": 0.5}).shortfall()}


torch.set_grad_enabled(False)
warnings.filterwarnings("ignore")
with tempfile.TemporaryDirectory() as scratch:
    print(json.dumps({"ratios": ratios(Path(scratch)), "pruned": pruned(Path(scratch))}))
