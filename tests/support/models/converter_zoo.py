"""Makes small captured models in a toolchain: `python converter_zoo.py torch|onnx|samples FOLDER`.

`torch` writes `NAME.pt` (traced), `NAME.pt2` (exported, sizes fixed), `NAME-dynamic.pt2`,
`NAME.npz` (samples and outputs), `NAME.io.json` and `NAME.options.json`; `onnx` writes `NAME.onnx`.
`samples FOLDER NAME...` writes of some models what belongs to an ONNX file, with it.
Weights are seeded and biases are not zero, so that no output is dead.
"""

# mypy: disable-error-code="misc"
# On the host, where types are checked, there is no torch: its classes are Any.

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SAMPLES = 16
torch.full(
    (16,), 0.5
).tanh()  # As before each step: see `settle_vector_functions` of the worker host.


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Linear(128, 10)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image).flatten(1))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, window: Tensor) -> Tensor:
        states, _ = self.lstm(window)
        return self.head(states[:, -1])


class Heavy(nn.Module):
    """More than 256 KiB of weights in eight bits, in convolutions of long kernels, as trained models have."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 64, (32, 1)), nn.ReLU(), nn.Conv2d(64, 128, (64, 1)), nn.ReLU()
        )
        self.head = nn.Linear(128, 8)

    def forward(self, sound: Tensor) -> Tensor:
        return self.head(self.body(sound[:, None, :, None]).mean((2, 3)))


class Segment(nn.Module):
    """A 4-D output of unequal sizes, and a second output."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 2, 1)
        self.third = nn.Conv2d(8, 4, 3, stride=2, padding=1)

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.relu(self.first(photo))
        return self.second(features), torch.sigmoid(self.third(features)).mean((2, 3))


class Text(nn.Module):
    """An int64 and a float input, and an int64 output."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        words = self.embedding(ids) * mask.unsqueeze(-1)
        scores = self.head(words.mean(1))
        return scores, scores.argmax(1)


class Uneven(nn.Module):
    """What litert-torch cannot take as it is.

    Output padding, an identity matrix, and a mask that lets nothing pass in some rows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.ConvTranspose2d(2, 3, (3, 5), (2, 3), (1, 2), output_padding=(1, 0))
        self.series = nn.ConvTranspose1d(2, 3, 3, 2, 1, output_padding=1)

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        larger, longer = self.picture(photo), self.series(photo.mean(2))
        rows, mask = photo[:, 0], photo[:, 1, :, :4] > 0.5
        attended = nn.functional.scaled_dot_product_attention(rows, rows, rows, mask)
        marked = photo[:, 0, :, :4] + torch.eye(4)
        return torch.tanh(larger), torch.tanh(longer), marked, attended


class Mixed(nn.Module):
    """What converters trip over, in one model: an image out, a recurrence, integers in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 2, 1)
        self.embedding = nn.Embedding(50, 6)
        self.lstm = nn.LSTM(6, 8, batch_first=True)
        self.head = nn.Linear(8 + 8, 3)

    def forward(self, photo: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = torch.tanh(self.norm(self.first(photo)))
        states, _ = self.lstm(self.embedding(ids))
        scores = self.head(torch.cat([states[:, -1], features.mean((2, 3))], 1))
        return self.second(features), scores, scores.argmax(1)


class Masking(nn.Module):
    def forward(self, mask: Tensor) -> Tensor:
        return (1.0 - mask[:, None, :].to(torch.float32)) * torch.finfo(torch.float32).min


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 4 + bias
        return scores.softmax(-1) @ self.value(x)


class Masked(nn.Module):
    """Attention with the mask of transformers: the least float32 where there is no word.

    What attention gives is an output, and read within. A constant shares the scale of what `maximum` gives.
    """

    floor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.masking, self.attention = Masking(), Attention()
        self.head = nn.Linear(16, 3)
        self.register_buffer("floor", torch.full((6, 16), -1.0).tril())

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        words = self.embedding(ids)
        states = self.attention(words, self.masking(mask))
        return self.head(states.maximum(self.floor)[:, 0]), states


class Mended(nn.Module):
    """What coremltools converts wrongly.

    A slice that leaves nothing out, one over a number, and a mask that lets nothing pass in some rows.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows = x.reshape(-1, 4, 4)
        attended = nn.functional.scaled_dot_product_attention(rows, rows, rows, rows > 0.5)
        return 1 / (x[:, :].square() + 0.01), attended


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


class Unsupported(nn.Module):
    """An operator that no mobile format has, inside a module with a name."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(4, 4), Bessel())

    def forward(self, features: Tensor) -> Tensor:
        return self.block(features)


def port(name: str, shape: list[Any], dtype: str = "float32", **more: Any) -> dict[str, Any]:
    dims = {"N": {"min": 1, "max": 64, "example": 1}} if "N" in shape else {}
    return {
        "name": name,
        "shape": shape,
        "dtype": dtype,
        "dims": dims,
        "range": None,
        "layout": None,
        **more,
    }


ZOO: dict[str, tuple[type[nn.Module], list[dict[str, Any]], list[str]]] = {
    "cnn": (Cnn, [port("image", ["N", 1, 8, 8], layout="NCHW")], ["logits"]),
    "heavy": (Heavy, [port("sound", ["N", 128])], ["scores"]),
    "lstm": (Lstm, [port("window", ["N", 100, 6])], ["scores"]),
    "segment": (Segment, [port("photo", ["N", 3, 12, 20], layout="NCHW")], ["mask", "edges"]),
    "text": (
        Text,
        [port("ids", ["N", 7], "int64", range=[0, 49]), port("weight", ["N", 7])],
        ["scores", "label"],
    ),
    "uneven": (
        Uneven,
        [port("photo", ["N", 2, 4, 5], layout="NCHW")],
        ["larger", "longer", "marked", "attended"],
    ),
    "unsupported": (Unsupported, [port("features", ["N", 4])], ["values"]),
}

MORE: dict[str, tuple[type[nn.Module], list[dict[str, Any]], list[str]]] = {
    "mended": (Mended, [port("x", ["N", 16])], ["y", "attended"]),
    "mixed": (
        Mixed,
        [
            port("photo", ["N", 3, 12, 20], layout="NCHW"),
            port("ids", ["N", 7], "int64", range=[0, 49]),
        ],
        ["mask", "scores", "label"],
    ),
    "masked": (
        Masked,
        [
            port("ids", ["N", 6], "int64", range=[0, 49]),
            port("mask", ["N", 6], "int64", range=[0, 1]),
        ],
        ["scores", "states"],
    ),
}
"""Made only where they are asked for by name."""


def example(ports: list[dict[str, Any]], count: int) -> tuple[Tensor, ...]:
    made = []
    for spec in ports:
        shape = [count if size == "N" else size for size in spec["shape"]]
        made.append(
            torch.randint(0, spec["range"][1] + 1, shape) if spec["range"] else torch.randn(shape)
        )
    return tuple(made)


def build(name: str) -> tuple[nn.Module, list[dict[str, Any]], list[str]]:
    kind, ports, outputs = (ZOO | MORE)[name]
    torch.manual_seed(3)
    return kind().eval(), ports, outputs


def write_torch(name: str, folder: Path) -> None:
    model, ports, outputs = build(name)
    traced: Any = torch.jit.trace(model, example(ports, 1), check_trace=False)
    traced.save(str(folder / f"{name}.pt"))
    torch.export.save(torch.export.export(model, example(ports, 1)), folder / f"{name}.pt2")
    batch = {0: torch.export.Dim("N", min=1, max=64)}
    dynamic = torch.export.export(
        model, example(ports, 2), dynamic_shapes=tuple(batch for _ in ports)
    )
    torch.export.save(dynamic, folder / f"{name}-dynamic.pt2")
    write_samples(name, folder, model, ports, outputs)


def write_samples(
    name: str, folder: Path, model: nn.Module, ports: list[dict[str, Any]], outputs: list[str]
) -> None:
    samples = example(ports, SAMPLES)
    found = model(*samples)
    results = found if isinstance(found, tuple) else (found,)
    np.savez(
        folder / f"{name}.npz",
        **{f"in.{p['name']}": t.numpy() for p, t in zip(ports, samples, strict=True)},
        **{f"out.{o}": t.numpy() for o, t in zip(outputs, results, strict=True)},
    )
    blank = {"artifact_name": None, "permutation": None}
    contract = {
        "inputs": [{k: p[k] for k in ("name", "shape", "dtype", "layout")} | blank for p in ports],
        "outputs": [
            {
                "name": o,
                "shape": ["N", *t.shape[1:]],
                "dtype": str(t.dtype).removeprefix("torch."),
                "layout": None,
            }
            | blank
            for o, t in zip(outputs, results, strict=True)
        ],
    }
    (folder / f"{name}.io.json").write_text(json.dumps(contract))
    (folder / f"{name}.options.json").write_text(json.dumps({"ports": ports, "outputs": outputs}))


def write_onnx(name: str, folder: Path) -> None:
    model, ports, outputs = build(name)
    names = [p["name"] for p in ports]
    torch.onnx.export(
        model,
        example(ports, 1),
        str(folder / f"{name}.onnx"),
        dynamo=False,
        opset_version=17,
        input_names=names,
        output_names=outputs,
        dynamic_axes={n: {0: "N"} for n in (*names, *outputs)},
    )


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    target = Path(sys.argv[2])
    for model_name in sys.argv[3:] or ZOO:
        if sys.argv[1] == "samples":
            write_samples(model_name, target, *build(model_name))
            write_onnx(model_name, target)
        elif sys.argv[1] == "torch":
            write_torch(model_name, target)
        elif model_name != "unsupported":  # The TorchScript exporter has no such operator either.
            write_onnx(model_name, target)
