"""What of a package a profile is about, by name and type: its weights, and operations with activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...kit.quantize import mixing
from ...kit.quantize.mixing import Layer, Settings
from .. import package as packages

QUANTIZED = ("conv", "linear", "add", "avg_pool", "max_pool")
"""Operations whose activations coremltools makes integers."""


@dataclass(frozen=True)
class Assigned:
    """What becomes of weights and activations.

    Attributes:
        weights: Each weight by name, with its profile; `None` where it stays as it is.
        operations: Operations whose activations become integers, by the name of what they give.
        names: The operations' own names, by the same.
    """

    weights: Mapping[str, Settings | None]
    operations: Mapping[str, Settings]
    names: Mapping[str, str]

    @property
    def profiles(self) -> list[Settings]:
        """The profiles that anything has, `static` first: its ranges are those of the float model."""
        found: list[Settings] = []
        for profile in (*self.weights.values(), *self.operations.values()):
            if profile is not None and profile not in found:
                found.append(profile)
        return sorted(found, key=lambda profile: profile["scheme"] != "static")


def assigned(package: Path, wanted: Settings) -> Assigned:
    """Goes through the globs of a profile.

    A weight answers to its name (a module's dots are underscores in a package), to what the operations
    that take it give, and to their type; an operation to what it gives, its weights, and its type.

    Raises:
        StepError: A glob fits nothing; the error names the nearest.
    """
    readers: dict[str, list[Any]] = {name: [] for name, _ in packages.weights(package).floats}
    own: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    names: dict[str, str] = {}
    for function in packages.read_spec(package).mlProgram.functions.values():
        for op in packages.operations(function):
            taken = {each.name for argument in op.inputs.values() for each in argument.arguments}
            weights = [name for name in readers if name in taken]
            for name in weights:
                readers[name].append(op)
            if op.type in QUANTIZED:
                own[op.outputs[0].name] = weights
                kinds[op.outputs[0].name] = op.type
                (names[op.outputs[0].name],) = op.attributes[
                    "name"
                ].immediateValue.tensor.strings.values
    layers = {
        name: Layer(
            [name, *(each.name for op in ops for each in op.outputs)],
            ops[0].type if ops else "const",
        )
        for name, ops in sorted(readers.items())
    }
    # Where nothing is `static`, activations stay as they are whatever a glob says of them.
    static = any(each["scheme"] == "static" for each in _all(wanted))
    if static:
        layers |= {name: Layer([name, *weights], kinds[name]) for name, weights in own.items()}
    found = mixing.resolved(wanted, layers, "matches no weight and no operation", dot="_")
    integers = {
        name: given
        for name, given in found.items()
        if name in own and given is not None and given["scheme"] == "static"
    }
    return Assigned({name: found[name] for name in readers}, integers, names)


def _all(wanted: Settings) -> list[Settings]:
    """A profile, or those that it mixes in."""
    if wanted["scheme"] != "mixed":
        return [wanted]
    given = [wanted.get("default"), *(each for _, each in wanted.get("layers") or [])]
    return [each for each in given if each is not None]
