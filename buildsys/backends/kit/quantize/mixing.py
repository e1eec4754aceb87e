"""Which settings each layer of an artifact gets from a profile: `layers`, `default`, `keep_float`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..protocol.globs import LAYERS, fitting
from ..protocol.request import StepError

TYPE = "type:"
"""What a glob over types of operators begins with."""

Settings = Mapping[str, Any]
"""A profile as a step receives it: `scheme`, `bits`, …"""


@dataclass(frozen=True)
class Layer:
    """What a layer answers to.

    Attributes:
        names: Its names, that which errors show first; a path of modules where the format keeps it.
        kind: The format's type of its operator: `Conv`, `FULLY_CONNECTED`.
    """

    names: Sequence[str]
    kind: str


def resolved(
    wanted: Settings,
    layers: Mapping[str, Layer],
    none: str,
    hint: str | None = None,
    dot: str = ".",
) -> dict[str, Settings | None]:
    """What each layer becomes.

    The first glob of `layers` that fits a layer holds, `default` for what none fits; `keep_float`,
    also that of a profile that is mixed in, keeps layers of the profile that it belongs to. Each is a
    glob over whole names, or over types of operators after `type:`.

    Args:
        wanted: The profile: `options["quantization"]`.
        layers: The artifact's layers, by whatever names them, in its order.
        none: What is said of a glob that fits no layer: `fits no layer of the model`.
        hint: The hint of that error.
        dot: What stands in names where a module's path has a dot.

    Returns:
        The layers in their order, each with its profile, or `None` where it stays as it is.

    Raises:
        StepError: A glob fits no layer, or only such as an earlier one of `layers` has.
    """

    def fitted(pattern: str, field: str) -> list[str]:
        return _fitted(pattern, layers, none, hint, dot, field)

    if wanted["scheme"] != "mixed":
        found: dict[str, Settings | None] = dict.fromkeys(layers, wanted)
        mixed_in = [wanted]
    else:
        found = dict.fromkeys(layers, wanted.get("default"))
        mixed_in = [wanted["default"]] if wanted.get("default") else []
        taken: dict[str, str] = {}
        for pattern, given in wanted.get("layers") or []:
            names = fitted(pattern, LAYERS)
            left = [name for name in names if name not in taken]
            if not left:
                raise _shadowed(pattern, [taken[name] for name in names])
            taken |= dict.fromkeys(left, pattern)
            found |= dict.fromkeys(left, given)
            if given is not None and given not in mixed_in:
                mixed_in.append(given)
    before = dict(found)
    for profile in mixed_in:
        for pattern in profile.get("keep_float") or []:
            for name in fitted(pattern, "quantization.keep_float"):
                if before[name] == profile:
                    found[name] = None
    return found


def _fitted(
    pattern: str,
    layers: Mapping[str, Layer],
    none: str,
    hint: str | None,
    dot: str,
    field: str,
) -> list[str]:
    """The layers that one glob fits."""
    if not pattern.startswith(TYPE):
        answers = {name: layer.names for name, layer in layers.items()}
        return fitting([pattern], answers, none, hint, dot, field)
    kinds = {layer.kind: [TYPE + layer.kind] for layer in layers.values()}
    # Types of operators are reported as they are: what stands for a dot in names does not in them.
    found = set(fitting([pattern], kinds, none, hint, field=field))
    return [name for name, layer in layers.items() if layer.kind in found]


def _shadowed(pattern: str, earlier: Sequence[str]) -> StepError:
    by = ", ".join(f"`{each}`" for each in dict.fromkeys(earlier))
    return StepError(
        f"`{pattern}` holds for no layer: {by} before it fits all of its layers",
        f"put `{pattern}` first: the first that fits a layer holds",
        LAYERS,
    )
