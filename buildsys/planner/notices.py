"""What is known of a deployable before anything runs, and its users must be told."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from buildsys.backends.base import Format, Ports, varying
from buildsys.recipe import Detour


def notices(declared: Format, options: Mapping[str, Any], ports: Ports) -> Iterator[str]:
    """Sentences on a deployable of a format.

    Args:
        declared: The format.
        options: All its options.
        ports: The model's inputs.
    """
    if declared.legacy:
        yield declared.legacy
    dims = varying(ports)
    if dims and not declared.keeps_sizes(options):
        sizes = ", ".join(f"{symbol} = {dim['example']}" for symbol, dim in dims.items())
        way_out = f" (`{declared.opens}: true` keeps them open)" if declared.opens else ""
        yield f"sizes are fixed: {sizes}{way_out}"


def detoured(detour: Detour | None) -> Iterator[str]:
    """Which route is taken in place of those that gave nothing, and why."""
    if detour is not None:
        whys = "; ".join(f"`route: {word}`: {why}" for word, why in detour.failed.items())
        yield f"`route: {detour.taken}` was taken, since another gave nothing: {whys}"


def unjudged(bounds: Collection[str]) -> str:
    """What is said of bounds against an earlier build, which no build judges; empty without any."""
    if not bounds:
        return ""
    names = ", ".join(f"`{name}`" for name in bounds)
    be = "is" if len(bounds) == 1 else "are"
    return f"{names} {be} judged by `modelbuild report --against FILE`, not by a build"
