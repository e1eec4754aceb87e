"""Converts and runs small models: `python convert_cases.py BACKENDS FOLDER THREADS [SOURCES] CASE...`.

A case is `MODEL-BACKEND`, or `MODEL-BACKEND-PROFILE` with one of the profiles of the file that is given.
For each it writes into FOLDER the model's `.pt2`, which is taken from the folder SOURCES where one is given,
and `CASE.pte`, `CASE.json` (the contract, notes, error) and `CASE.npz` (inputs, the model's outputs, the
file's, by the recipe's names). One process for all cases, since ExecuTorch takes ten seconds to import.
"""

# mypy: disable-error-code="misc"
# On the host, where types are checked, there is no torch: its classes are Any.

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 6, 3)

    def forward(self, image: Tensor) -> Tensor:
        # No stride: it is the size of the window.
        states = functional.max_pool2d(torch.relu(self.norm(self.conv(image))), 2)
        return self.head(states.flatten(1))


class Wide(nn.Module):
    """Large enough that its weights outweigh what XNNPACK writes beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 32, 3)
        self.norm = nn.BatchNorm2d(32)
        self.head = nn.Linear(32 * 6, 10)

    def forward(self, image: Tensor) -> Tensor:
        states = torch.relu(self.norm(self.second(torch.relu(self.first(image)))))
        return self.head(functional.max_pool2d(states, 2).flatten(1))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, window: Tensor) -> Tensor:
        states, _ = self.lstm(window)
        return self.head(states.mean(1))


class Text(nn.Module):
    """Two inputs and two outputs, of either dtype, and two sizes that vary."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.head = nn.Linear(4, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        words = self.embedding(ids) * mask.unsqueeze(-1)
        # ExecuTorch's checks fix the first size of what is split, if they are let.
        left, right = words.sum(1).chunk(2, 1)
        scores = self.head(left * right)
        return scores.argmax(1), scores


class Single(nn.Module):
    """No batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, row: Tensor) -> Tensor:
        return self.head(row)


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


class Masked(nn.Module):
    """Attention's mask, the least float32 where there is no word, and images of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Linear(1, 12)
        self.score = nn.Linear(12, 1)
        self.head = nn.Linear(12, 3)

    def forward(self, mask: Tensor) -> Tensor:
        words = torch.tanh(self.words(mask.unsqueeze(-1)))
        bias = (mask <= 0).to(torch.float32) * torch.finfo(torch.float32).min
        weights = (self.score(words).squeeze(-1) + bias).softmax(-1)
        return self.head((words * weights.unsqueeze(-1)).sum(1))


class Normed(nn.Module):
    """Norms of what varies, and of what does not: the variance of that is a rounding error."""

    def __init__(self) -> None:
        super().__init__()
        self.group = nn.GroupNorm(2, 4)
        self.instance = nn.InstanceNorm1d(4, affine=True)
        self.steady = nn.GroupNorm(4, 4)
        nn.init.constant_(self.steady.weight, 1e-6)
        self.register_buffer("levels", torch.linspace(0.3, 33.3, 4)[None, :, None])

    def forward(self, window: Tensor) -> Tensor:
        constant = (self.levels + 0 * window[:, :, :1]).expand(-1, -1, 799)
        return self.instance(self.group(window)) + self.steady(constant)[:, :, :6]


class Attending(nn.Module):
    """Attention over a length that varies, whose heads are joined by a view, as in GPT-2."""

    def __init__(self) -> None:
        super().__init__()
        self.states = nn.Linear(8, 24)
        self.head = nn.Linear(8, 3)

    def forward(self, words: Tensor) -> Tensor:
        parts = self.states(words).split(8, dim=2)
        heads = (p.view(*p.shape[:2], 2, 4).transpose(1, 2) for p in parts)
        found = functional.scaled_dot_product_attention(*heads, is_causal=True)
        joined = found.transpose(1, 2).reshape(*words.shape[:2], 8)
        flat = torch.addmm(self.head.bias, joined.view(-1, 8), self.head.weight.t())
        return flat.view(*words.shape[:2], 3).sum(1)


class Exotic(nn.Module):
    """An operator that no mobile format has."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(6, 3), Bessel())

    def forward(self, row: Tensor) -> Tensor:
        return self.block(row)


SAMPLES = 32
"""Of calibration data."""
BATCH = {"min": 1, "max": 32, "example": 1}
LENGTH = {"min": 2, "max": 12, "example": 5}


def port(name: str, shape: list[Any], dtype: str = "float32", **more: Any) -> dict[str, Any]:
    dims = {s: {"N": BATCH, "T": LENGTH}[s] for s in shape if isinstance(s, str)}
    plain = {"name": name, "shape": shape, "dtype": dtype, "dims": dims}
    return plain | {"range": None, "layout": None} | more


MODELS: dict[str, tuple[type[nn.Module], list[dict[str, Any]], list[str]]] = {
    "cnn": (Cnn, [port("image", ["N", 1, 6, 8])], ["logits"]),
    "wide": (Wide, [port("image", ["N", 1, 6, 8])], ["logits"]),
    "lstm": (Lstm, [port("window", ["N", 4, 6])], ["logits"]),
    "text": (
        Text,
        [port("ids", ["N", "T"], "int64", range=[0, 49]), port("mask", ["N", "T"])],
        ["label", "scores"],
    ),
    "single": (Single, [port("row", [6])], ["scores"]),
    "masked": (Masked, [port("mask", ["N", 5])], ["scores"]),
    "normed": (Normed, [port("window", ["N", 4, 6])], ["scores"]),
    "attending": (Attending, [port("words", ["N", "T", 8])], ["scores"]),
    "exotic": (Exotic, [port("row", ["N", 6])], ["scores"]),
}


def build(name: str) -> nn.Module:
    torch.manual_seed(3)
    return MODELS[name][0]().eval()


def example(name: str, sizes: dict[str, int]) -> tuple[Tensor, ...]:
    made = []
    for spec in MODELS[name][1]:
        shape = [sizes.get(size, size) for size in spec["shape"]]
        high = spec["range"][1] + 1 if spec["range"] else 0
        made.append(torch.randint(0, high, shape) if high else torch.randn(shape))
    return tuple(made)


def export(name: str, path: Path) -> None:
    """As the backend for torch does it: no provenance, sizes that vary."""
    # More than 16, below which torch picks another convolution, and narrows the batch by asking.
    limits = {"N": torch.export.Dim("N", min=1, max=32), "T": torch.export.Dim("T", min=2, max=12)}
    shapes = tuple(
        {axis: limits[size] for axis, size in enumerate(spec["shape"]) if size in limits}
        for spec in MODELS[name][1]
    )
    feed = example(name, {"N": 2, "T": 5})
    program = torch.export.export(build(name), feed, dynamic_shapes=shapes)
    importlib.import_module("modelbuild_backends.torch.capture.canonical").save_exported(
        program, path
    )


def contract(name: str) -> dict[str, Any]:
    _, ports, outputs = MODELS[name]
    found = leaves(build(name)(*example(name, {"N": 2, "T": 5})))
    kept = ("name", "shape", "dtype", "layout")
    return {
        "inputs": [{key: spec[key] for key in kept} for spec in ports],
        "outputs": [
            {
                "name": output,
                "shape": ["N", *tensor.shape[1:]] if name != "single" else [3],
                "dtype": str(tensor.dtype).removeprefix("torch."),
            }
            for output, tensor in zip(outputs, found, strict=True)
        ],
    }


def leaves(found: Any) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


def convert(case: str, given: argparse.Namespace) -> None:
    """Converts one case, and runs it by its runtime at a size that it was not captured with."""
    kit = importlib.import_module("modelbuild_backends.kit.protocol.request")
    worker = importlib.import_module("modelbuild_backends.executorch.worker")
    runtime = importlib.import_module("modelbuild_backends.executorch.runtime")
    name, backend, *quantized = case.split("-", 2)
    folder: Path = given.folder
    paths = {
        key: folder / f"{case}.{key}" for key in ("pte", "io", "made", "json", "npz", "ranges")
    }
    paths["io"].write_text(json.dumps(contract(name)))
    inputs = {"artifact": folder / f"{name}.pt2", "io": paths["io"]}
    options = {
        "ports": MODELS[name][1],
        "outputs": MODELS[name][2],
        "format": {"backend": backend},
        "scheme": None,
    }
    if quantized:
        profile = json.loads(given.profiles.read_text())[quantized[0]]
        options |= {"scheme": profile["scheme"], "quantization": profile}
        if "calibration" in json.dumps(profile):
            inputs["calibration"] = folder / f"{name}.calibration.npz"
            torch.manual_seed(7)
            samples = example(name, {"N": SAMPLES, "T": 5})
            importlib.import_module("modelbuild_backends.kit.protocol.arrays").save(
                inputs["calibration"],
                {spec["name"]: t.numpy() for spec, t in zip(MODELS[name][1], samples, strict=True)},
            )
    request = kit.Request(
        inputs=inputs,
        outputs={
            "artifact": paths["pte"],
            "io": paths["made"],
            "ranges": folder / f"{case}.ranges.json",
        },
        options=options,
        scratch=folder,
        threads=given.threads,
    )
    try:
        worker.convert(request)
    except kit.StepError as error:
        told = {"message": error.message, "hint": error.hint, "field": error.field}
        paths["json"].write_text(json.dumps({"error": told, "notes": request.notes}))
        return
    io = json.loads(paths["made"].read_text())
    paths["json"].write_text(json.dumps({"error": None, "notes": request.notes, "io": io}))
    if backend == "coreml":
        return
    made = importlib.import_module("modelbuild_backends.kit.protocol.contract").Contract.read(
        paths["made"]
    )
    feed = {
        spec["name"]: tensor.numpy()
        for spec, tensor in zip(MODELS[name][1], example(name, {"N": 31, "T": 9}), strict=True)
    }
    found = runtime.load(paths["pte"], made, given.threads).run(feed)
    wanted = leaves(build(name)(*(torch.from_numpy(array) for array in feed.values())))
    np.savez(
        paths["npz"],
        **{f"in.{key}": array for key, array in feed.items()},
        **{f"out.{key}": array for key, array in found.items()},
        **{
            f"want.{key}": tensor.numpy()
            for key, tensor in zip(MODELS[name][2], wanted, strict=True)
        },
    )


NORMS: list[Any] = []
"""The quantizer's patterns of convolutions with norms that were made so far."""


def watch_norms() -> None:
    """Notes each of them."""
    utils = importlib.import_module("modelbuild_backends.executorch.patterns").quantizer_utils
    make = utils._get_aten_graph_module_for_pattern

    def noted(*given: Any) -> Any:
        NORMS.append(make(*given))
        return NORMS[-1]

    utils._get_aten_graph_module_for_pattern = noted


def patterns_made() -> list[int]:
    """How often patterns of resizing, of attention, and of convolutions with norms were made so far."""
    ours = importlib.import_module("modelbuild_backends.executorch.patterns")
    making = (ours.bilinear_2d._get_bilinear_2d_graphs, ours.sdpa.get_graphs)
    return [*(each.cache_info().misses for each in making), len(NORMS)]


def patterns_known() -> list[bool]:
    """Of each of XNNPACK's patterns, whether it has an operator that graphs are asked for."""
    ours = importlib.import_module("modelbuild_backends.executorch.patterns")
    resizing = [ours.holds(each, ours.RESIZING) for each in ours.bilinear_2d.get_graphs()]
    attention = [ours.holds(each, ours.ATTENTION) for each in ours.sdpa.get_graphs()]
    graph = torch.fx.symbolic_trace(nn.Linear(1, 1))
    ours.quantizer_utils._do_annotate_conv_bn(graph, None, None, False)
    return resizing + attention + [ours.holds(each, ours.NORM) for each in NORMS]


def expose(backends: Path) -> None:
    """Makes the backends importable as the worker host does."""
    host = importlib.util.spec_from_file_location(
        "program", backends.parent / "toolchains" / "inside" / "program.py"
    )
    assert host is not None
    assert host.loader is not None
    module = importlib.util.module_from_spec(host)
    host.loader.exec_module(module)
    module.expose(str(backends))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("backends", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("threads", type=int)
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--sources", type=Path)
    parser.add_argument("--profiles", type=Path)
    parser.add_argument("--patterns", type=Path)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    expose(arguments.backends)
    makings = {}
    watch_norms()
    for each in arguments.cases:
        source = arguments.folder / f"{each.partition('-')[0]}.pt2"
        if arguments.sources is not None:
            shutil.copy(arguments.sources / source.name, source)
        elif not source.exists():
            export(source.stem, source)
        convert(each, arguments)
        makings[each] = patterns_made()
    if arguments.patterns is not None:
        arguments.patterns.write_text(json.dumps({"makings": makings, "known": patterns_known()}))
