"""Small TorchScript files, with what they are expected to give: `small_onnx` in torch."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.harness import interpreter
from tests.support.models import small_onnx as small

SCRIPT = """
import sys, json, torch
weight, table = (torch.tensor(v) for v in json.load(sys.stdin))
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("table", table)
class Two(Net):
    def forward(self, x: torch.Tensor, ids: torch.Tensor):
        y = x @ self.weight + self.table[ids].sum(1)
        return y, y > 0
class Named(Net):
    def forward(self, x: torch.Tensor, ids: torch.Tensor):
        y = x @ self.weight + self.table[ids].sum(1)
        return {"y": y, "positive": y > 0}
for name, module in {"two": Two(), "named": Named()}.items():
    torch.jit.script(module.eval()).save(f"{sys.argv[1]}/{name}.pt")
"""


def write(folder: Path) -> dict[str, dict[str, Path]]:
    """Writes `two`, which returns a tuple, and `named`, which returns a dict; as a step's inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    given = json.dumps([small.WEIGHT.tolist(), small.TABLE.tolist()])
    script = folder / "make.py"  # TorchScript reads the source of what it compiles.
    script.write_text(SCRIPT)
    command = [str(interpreter("torch")), "-W", "ignore", str(script), str(folder)]
    subprocess.run(command, input=given, text=True, check=True)
    small.CONTRACT.write(folder / "io.json")
    io = folder / "io.json"
    return {name: {"artifact": folder / f"{name}.pt", "io": io} for name in ("two", "named")}
