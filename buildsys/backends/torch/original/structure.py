"""What transforms leave of a model: its weights, and how it differs from what the factory returns.

No pickle and no code: sizes and whole numbers by name. Whoever makes the model calls the factory, applies
the structure, then loads the weights (`model.make`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...kit.protocol.request import StepError

FIELD = "source.factory"


@dataclass(frozen=True)
class Shape:
    """The sizes in a module.

    Attributes:
        tensors: Shape of each parameter and buffer by name, those with two names by both.
        numbers: Attributes that are whole numbers or tuples of them, by module path and name.
    """

    tensors: dict[str, list[int]]
    numbers: dict[str, dict[str, int | list[int]]]

    @classmethod
    def of(cls, module: torch.nn.Module) -> Shape:
        """Reads a module."""
        return cls(
            {name: list(tensor.shape) for name, tensor in _tensors(module).items()},
            {path: _numbers(part) for path, part in module.named_modules()},
        )


def difference(made: Shape, module: torch.nn.Module) -> dict[str, Any]:
    """How a module differs from what the factory returned, as plain JSON.

    Raises:
        StepError: In more than sizes.
    """
    now = Shape.of(module)
    if made.tensors.keys() != now.tensors.keys() or made.numbers.keys() != now.numbers.keys():
        raise StepError("the model has other modules or parameters than its factory gives it")
    kept = set(module.state_dict())
    tensors = {n: s for n, s in now.tensors.items() if s != made.tensors[n]}
    lost = sorted(n for n in tensors if n not in kept)
    if lost:
        raise StepError(
            f"the size of `{lost[0]}` changed, which is not part of the state that is saved",
            "register the buffer as persistent, or `keep` the module",
        )
    numbers = {
        path: changed
        for path, found in now.numbers.items()
        if (changed := {n: v for n, v in found.items() if v != made.numbers[path].get(n)})
    }
    return {"tensors": tensors, "numbers": numbers}


def apply(module: torch.nn.Module, structure: dict[str, Any]) -> None:
    """Gives what the factory returned the sizes that transforms have left.

    Raises:
        StepError: The factory returns another module than when it was transformed.
    """
    own = _tensors(module)
    parts = dict(module.named_modules())
    unknown = [n for n in structure["tensors"] if n not in own]
    unknown += [path for path in structure["numbers"] if path not in parts]
    if unknown:
        raise StepError(
            f"the factory returns no `{unknown[0]}`, which a transform changed",
            "does it return the same module each time?",
            FIELD,
        )
    made: dict[int, torch.Tensor] = {}
    for name, shape in structure["tensors"].items():
        old = own[name]
        if list(old.shape) == shape:
            continue
        if id(old) not in made:
            fresh = torch.zeros(shape, dtype=old.dtype)
            parameter = isinstance(old, torch.nn.Parameter)
            made[id(old)] = (
                torch.nn.Parameter(fresh, requires_grad=old.requires_grad) if parameter else fresh
            )
        path, _, last = name.rpartition(".")
        owner = parts[path]
        (owner._parameters if last in owner._parameters else owner._buffers)[last] = made[id(old)]
    for path, numbers in structure["numbers"].items():
        for name, value in numbers.items():
            setattr(parts[path], name, tuple(value) if isinstance(value, list) else value)


def read(path: Path) -> dict[str, Any]:
    """Reads `structure.json`."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def save_weights(module: torch.nn.Module, path: Path) -> None:
    """Writes the state; tensors that share their memory once, as `checkpoint.fit` reads them.

    Raises:
        StepError: The environment has no safetensors.
    """
    path.write_bytes(weights_bytes(module.state_dict()))


def weights_bytes(state: dict[str, torch.Tensor]) -> bytes:
    """Tensors as a safetensors file."""
    save, _ = _safetensors()
    seen: set[int] = set()
    kept = {}
    for name, tensor in state.items():
        if tensor.numel() and tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        kept[name] = tensor.detach().contiguous()
    written: bytes = save(kept)
    return written


def weights_of(content: bytes) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors file."""
    _, load = _safetensors()
    found: dict[str, torch.Tensor] = load(content)
    return found


def _safetensors() -> tuple[Any, Any]:
    try:
        from safetensors.torch import load, save
    except ImportError as error:
        raise StepError(
            "the model's environment has no `safetensors`",
            "add it to the environment, or choose `environment: builtin`",
            "environment",
        ) from error
    return save, load


def _tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict(module.named_parameters(remove_duplicate=False)) | dict(
        module.named_buffers(remove_duplicate=False)
    )


def _numbers(part: torch.nn.Module) -> dict[str, int | list[int]]:
    found: dict[str, int | list[int]] = {}
    for name, value in vars(part).items():
        if name.startswith("_") or isinstance(value, bool):
            continue
        if isinstance(value, int):
            found[name] = value
        elif isinstance(value, tuple) and value and all(type(each) is int for each in value):
            found[name] = list(value)
    return found
