"""Writes architectures of the zoo as a project: the models' code, and their parts of a recipe."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.zoo.architectures import ARCHITECTURES

Entry = dict[str, Any]
PACKAGE = "zoo"
TARGET = "server"
HERE = Path(__file__).parent


def write_models(folder: Path, names: Iterable[str], package: str = PACKAGE) -> dict[str, Any]:
    """Copies the code of architectures into a project.

    Args:
        folder: The project's folder.
        names: Architectures.
        package: The folder below it that the code goes to.

    Returns:
        What belongs below `models` of the recipe, by name.
    """
    names = list(names)
    code = folder / package
    code.mkdir(parents=True, exist_ok=True)
    for module in ("__init__", "weights", *(ARCHITECTURES[name].family for name in names)):
        shutil.copyfile(HERE / f"{module}.py", code / f"{module}.py")
    for name in names:
        requirements = ARCHITECTURES[name].requirements
        if requirements is not None:
            shutil.copyfile(HERE / requirements, code / requirements)
    return {name: ARCHITECTURES[name].model(name, package) for name in names}


def write(
    folder: Path, names: Iterable[str], entries: Iterable[Entry], capture: str = "trace"
) -> Path:
    """Writes a whole project.

    Args:
        folder: Where to.
        names: Architectures.
        entries: What is wanted of them; `{"format": NAME}` wants all of them in a format, and with
            `"quantization": SCHEME` in a scheme without settings.
        capture: How the models are captured.

    Returns:
        Its recipe. The labels are `server/ARCHITECTURE.FORMAT`.
    """
    wanted = list(entries)
    profiles = {name: {"scheme": name} for e in wanted for name in [e.get("quantization")] if name}
    recipe = {
        "version": 1,
        "project": "zoo",
        "models": {
            name: {**model, "capture": capture}
            for name, model in write_models(folder, names).items()
        },
        **({"quantization": profiles} if profiles else {}),
        "targets": {TARGET: wanted},
    }
    path = folder / "deploy.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path
