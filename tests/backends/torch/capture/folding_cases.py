"""Folds what functions make of constants: `python folding_cases.py FOLDER_OF_BUILDSYS`.

Prints a JSON object: for each case and way of capturing, what was folded and what should have been, whether
the capture gives what PyTorch gives on other inputs, and how many folded tensors are not traced.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore")

import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from buildsys.backends.torch.capture.constant_folding import (  # noqa: E402
    ROOM,
    Budget,
    Folded,
    Spoiled,
    fold,
    may_fold,
)
from buildsys.backends.torch.original.derived import Tracer  # noqa: E402

Model = Any
SIDE = int((ROOM / 4) ** 0.5) + 1


class Weights(torch.nn.Module):  # type: ignore[misc]
    """Some weights, and a function of them and of an input [2, 4]."""

    def __init__(self, function: Callable[[Model, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.image = torch.nn.Parameter(torch.randn(1, 2, 5, 5))
        self.square = torch.nn.Parameter(torch.randn(4, 4))
        self.register_buffer("row", torch.randn(4))
        self.register_buffer("single", torch.randn(1, 1, 1, 1))
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Calls it."""
        return self.function(self, x)


def _written(model: Model, x: torch.Tensor) -> torch.Tensor:
    """A constant that a part of the input was written into is none, though it was made of nothing."""
    table = torch.zeros(4, 4)
    table[:1] = x[:1]
    return x + functional.interpolate(table[None, None], size=(2, 4), mode="bicubic")[0, 0]


def _spoiled(model: Model, x: torch.Tensor) -> torch.Tensor:
    """A result that is written to is no constant: it would keep the first input."""
    found = functional.interpolate(model.image, size=(2, 4), mode="bicubic")
    found += x
    return found[0, 0]


def _assembled(model: Model, x: torch.Tensor) -> torch.Tensor:
    """A constant written into a constant is one."""
    table = torch.zeros(4, 4)
    table[:1] = model.row
    return x + functional.interpolate(table[None, None], size=(2, 4), mode="bicubic")[0, 0]


def _by_sizes(model: Model, x: torch.Tensor) -> torch.Tensor:
    """Sizes of the weight and of the input decide, as in DINOv2."""
    side, channels = int(model.image.shape[-1] ** 1.0), x.shape[1] // 2
    if torch.jit.is_tracing():
        side = (model.image.shape[-1] ** 1.0).to(torch.int64)
    moved = model.image.reshape(1, side, channels, side).permute(0, 2, 1, 3)
    found = functional.interpolate(moved, size=(x.shape[0], x.shape[1]), mode="bicubic")
    return x + found.permute(0, 2, 3, 1).sum(-1)[0]


def _resized(size: Any, mode: str = "bicubic") -> Callable[[Model, torch.Tensor], torch.Tensor]:
    return lambda m, x: x + functional.interpolate(m.image, size=size, mode=mode).sum((0, 1, 2))


CASES: dict[str, tuple[Callable[[Model, torch.Tensor], torch.Tensor], int]] = {
    "bicubic": (_resized((3, 4)), 1),
    "bilinear": (_resized((7, 4), "bilinear"), 1),
    "twice": (lambda m, x: _resized((3, 4))(m, _resized((2, 4))(m, x)), 2),
    "after arithmetic": (
        lambda m, x: x + functional.interpolate(m.image * 2 + 1, size=(3, 4), mode="bicubic").sum((0, 1, 2)),
        1,
    ),
    "inverse": (lambda m, x: x @ torch.linalg.inv(m.square), 1),
    # What is complex is no tensor of any format: the first real number after it is.
    "spectrum": (lambda m, x: x + torch.fft.fft(m.row).abs(), 1),
    "by sizes": (_by_sizes, 1),
    "of the input": (
        lambda m, x: functional.interpolate(x[None, None], size=(3, 4), mode="bicubic")[0, 0],
        0,
    ),
    "input written into it": (_written, 0),
    "written to afterwards": (_spoiled, 0),
    "constant written into it": (_assembled, 1),
    # The converters' own matter, and what quantizers know weights by.
    "reshaped": (lambda m, x: x @ m.square.t().reshape(4, 4).contiguous(), 0),
    "arithmetic": (lambda m, x: x @ (m.square * m.row + 1), 0),
    "moved": (lambda m, x: x @ torch.movedim(m.square, 0, 1), 0),
    "a number spread over a picture": (
        lambda m, x: x
        + (
            functional.interpolate(m.single, size=(SIDE, SIDE), mode="bicubic") + x.mean()
        ).mean((0, 1, 2))[:4],
        0,
    ),
    "a mean of such a picture": (
        lambda m, x: x
        + functional.interpolate(m.single, size=(SIDE, SIDE), mode="bicubic").mean((0, 1, 2))[:4],
        1,
    ),
    "random": (lambda m, x: x + torch.linalg.inv(torch.rand(4, 4))[0] * 0, 0),
}  # fmt: skip


def captured(model: Model, how: str, x: torch.Tensor) -> tuple[Any, list[str]]:
    """The model, traced or exported and loaded again, and what was folded."""
    weights = [*model.parameters(), *model.buffers()]
    with torch.no_grad():
        if how == "trace":
            plain = torch.jit.trace(model, x, check_trace=False)
            mode = Folded(weights)
            try:
                with mode:
                    traced = torch.jit.trace(model, x, check_trace=False)
            except Spoiled:
                return plain, []
            assert may_fold(plain) or not mode.found
            return traced, mode.found
        program = torch.export.export(model, (x,))
        found = fold(program, Budget(weights))
        stream = io.BytesIO()
        torch.export.save(program, stream)
        stream.seek(0)
        return torch.export.load(stream).module(), found


def held(how: str, made: Any) -> list[torch.Tensor]:
    """The tensors that a capture has more than the model."""
    if how == "trace":
        graph = made.inlined_graph  # Its nodes do not outlive it.
        values = [node.output().toIValue() for node in graph.findAllNodes("prim::Constant")]
        return [each for each in values if isinstance(each, torch.Tensor) and each.numel() > 1]
    return [each for name, each in made.named_buffers() if name.startswith("folded_")]


def found(function: Callable[[Model, torch.Tensor], torch.Tensor], wanted: int) -> dict[str, Any]:
    """What became of a case by each way."""
    model = Weights(function).eval()
    x, other = torch.rand(2, 4), torch.rand(2, 4)
    tracer = Tracer([*model.named_parameters(), *model.named_buffers()])
    with torch.no_grad(), tracer:
        model(x)
    known = [each.value for each in tracer.derived()]
    told: dict[str, Any] = {}
    for how in ("trace", "export"):
        made, folded = captured(model, how, x)
        lost = [each for each in held(how, made) if not any(each.equal(k) for k in known)]
        with torch.no_grad():
            made(x)  # A constant may have changed by then.
            agrees = torch.allclose(made(other), model(other), atol=1e-5)
        untraced = len(lost) if folded else 0
        told[how] = {
            "folded": len(folded),
            "wanted": wanted,
            "agrees": agrees,
            "untraced": untraced,
        }
    return told


def main() -> None:
    """Runs all cases."""
    torch.manual_seed(0)
    print(json.dumps({name: found(*case) for name, case in CASES.items()}))


if __name__ == "__main__":
    main()
