"""Reads weights without running code, and loads them into a module: all of them, or an error."""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...kit.protocol.archive import broken
from ...kit.protocol.cause import first_lines
from ...kit.protocol.request import Request, StepError

FIELD = "source.checkpoint"
PICKLED = (".pt", ".pth", ".bin")
SHOWN = 3
WRAPPERS = ("state_dict", "model_state_dict")
CONVERT = (
    "save only the weights, on a machine where you trust the file: "
    "`torch.save(model.state_dict(), 'weights.pt')`, or "
    "`safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')`"
)


def load_into(module: torch.nn.Module, path: Path, request: Request) -> None:
    """Loads the checkpoint into `module`.

    Raises:
        StepError: The file is damaged, would run code, or does not fit the module.
    """
    fit(module, read(path), request)


def fit(module: torch.nn.Module, weights: dict[str, torch.Tensor], request: Request) -> None:
    """Loads tensors by name into `module`: all of them.

    Raises:
        StepError: They do not fit the module.
    """
    own = module.state_dict()
    changed = sorted(
        f"{weights[name].dtype} to {tensor.dtype}".replace("torch.", "")
        for name, tensor in own.items()
        if name in weights and weights[name].dtype != tensor.dtype
    )
    try:
        found = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise _misfit(error) from error
    # Tied weights are stored once: what shares its memory with a loaded parameter is loaded too.
    loaded = {own[name].data_ptr() for name in weights if name in own and own[name].numel()}
    missing = [name for name in found.missing_keys if own[name].data_ptr() not in loaded]
    if missing or found.unexpected_keys:
        raise _incomplete(missing, found.unexpected_keys, list(own))
    for change in dict.fromkeys(changed):
        request.note(f"weights of the checkpoint were turned from {change}, as the module has them")


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by name.

    Raises:
        StepError: The file is damaged, would run code, or holds something else than tensors.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in PICKLED:
        return _unwrapped(_read_pickle(path))
    raise StepError(
        f"a checkpoint `*{path.suffix}` is of an unknown kind",
        f"known are .safetensors, {', '.join(PICKLED)}",
        FIELD,
    )


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise StepError(
            "the model's environment has no `safetensors`",
            "add it to the environment, or save the checkpoint by `torch.save`",
            FIELD,
        ) from error
    try:
        return load_file(path)  # type: ignore[no-any-return]
    except (SafetensorError, OSError) as error:
        message = f"the checkpoint cannot be read: {broken(path)}: {error}"
        raise StepError(message, None, FIELD) from error


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)|Unsupported (?:class|global) (\S+)", str(error))
        if code is None and not _is_pickle(path):
            message = f"the checkpoint is not a checkpoint that torch can read: {broken(path)}"
            raise StepError(message, None, FIELD) from error
        needed = f" (`{code.group(1) or code.group(2)}`)" if code else ""
        raise StepError(
            f"the checkpoint is a pickle that would run code when it is read{needed}",
            CONVERT,
            FIELD,
        ) from error
    except Exception as error:
        if "TorchScript" in str(error):
            raise StepError(
                "the checkpoint is a TorchScript file, not weights",
                "name it as `torchscript:` under `source`, without a factory",
                FIELD,
            ) from error
        message = f"the checkpoint cannot be read: {broken(path)}: {first_lines(error, 1)}"
        raise StepError(message, None, FIELD) from error


def _is_pickle(path: Path) -> bool:
    """Whether the file, or the record of a zip file that torch would unpickle, is a whole pickle."""
    try:
        data = path.read_bytes()
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inner = [name for name in archive.namelist() if name.endswith("data.pkl")]
                data = archive.read(inner[0]) if inner else b""
        return sum(1 for _ in pickletools.genops(data)) > 0
    except Exception:  # What it raises on other bytes is as various as the bytes.
        return False


def _unwrapped(loaded: Any) -> dict[str, torch.Tensor]:
    if isinstance(loaded, Mapping):
        for wrapper in WRAPPERS:
            if isinstance(loaded.get(wrapper), Mapping):
                loaded = loaded[wrapper]
                break
    if not isinstance(loaded, Mapping):
        raise StepError(
            f"the checkpoint holds a `{type(loaded).__name__}`, not weights by name", CONVERT, FIELD
        )
    others = [str(name) for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    tensors = {str(n): v for n, v in loaded.items() if isinstance(v, torch.Tensor)}
    if others or not tensors:
        what = f"beside weights {_listed(others)}" if tensors else "no weights"
        raise StepError(
            f"the checkpoint holds {what}",
            f"{CONVERT}; weights under `{'` or `'.join(WRAPPERS)}` are found",
            FIELD,
        )
    return tensors


def _misfit(error: RuntimeError) -> StepError:
    pattern = (
        r"size mismatch for (\S+): copying a param with shape torch\.Size\((\[.*?\])\) from "
        r"checkpoint, the shape in current model is torch\.Size\((\[.*?\])\)"
    )
    found = re.findall(pattern, str(error))
    if not found:
        return StepError(f"the checkpoint does not fit the model: {error}", None, FIELD)
    rows = [
        f"`{n}` is {theirs} in the checkpoint, {ours} in the model" for n, theirs, ours in found
    ]
    return StepError(
        f"the checkpoint does not fit the model: {_joined(rows)}",
        "do the factory's `args` agree with those of the training?",
        FIELD,
    )


def _incomplete(missing: list[str], unexpected: list[str], own: list[str]) -> StepError:
    parts = []
    if missing:
        parts.append(f"it lacks {_listed(missing)}")
    if unexpected:
        parts.append(f"the model has no {_listed(unexpected)}")
    hint = "do the factory's `args` agree with those of the training?"
    prefixes = {name.partition(".")[0] + "." for name in unexpected}
    if len(prefixes) == 1 and missing:
        (prefix,) = prefixes
        if {name.removeprefix(prefix) for name in unexpected} <= set(own):
            hint = f"every name begins with `{prefix}`: save the weights of the inner module"
    return StepError(f"the checkpoint does not fit the model: {'; '.join(parts)}", hint, FIELD)


def _listed(names: list[str]) -> str:
    return _joined([f"`{name}`" for name in names])


def _joined(parts: list[str]) -> str:
    more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
    return ", ".join(parts[:SHOWN]) + more
