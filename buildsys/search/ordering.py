"""Which profiles of one family are milder, and how small an artifact can become at best.

Nothing here is measured; what it foretells decides only in which order candidates are built, and which of
them are not worth a build.
"""

from __future__ import annotations

from dataclasses import dataclass

from buildsys.quantization import CALIBRATED, DEPTHS, FLOAT_SCHEMES
from buildsys.recipe.schema.quantization import Quantization

WHOLE_BITS = 32
INT16_DEEP = 1
"""Activations of 16 bits lose next to nothing."""


def milder(a: Quantization, b: Quantization) -> bool:
    """Whether `a` keeps at least what `b` keeps, in every respect, and something more.

    Only profiles of one family are compared: integers, or palettes of one kind. Where `a` is not good
    enough, `b` is not either.
    """
    if a == b or _family(a) != _family(b) or _family(a) is None:
        return False
    ranges = [_ranges(each) for each in (a, b) if each.scheme in CALIBRATED]
    if len(ranges) == 2 and ranges[0] != ranges[1]:
        return False
    return (
        bits(a) >= bits(b)
        and _depth(a) <= _depth(b)
        and _coarseness(a) <= _coarseness(b)
        and set(a.keep_float) >= set(b.keep_float)
        and (a.sparsity or 0.0) <= (b.sparsity or 0.0)
    )


def severity(profile: Quantization) -> tuple[float, ...]:
    """Orders profiles of equal width from the mildest to the most aggressive."""
    return (
        _depth(profile),
        _coarseness(profile),
        profile.sparsity or 0.0,
        -float(len(profile.keep_float)),
    )


def bits(profile: Quantization) -> float:
    """Bits a weight, at best."""
    if profile.scheme in FLOAT_SCHEMES:
        return 16.0
    width = float(profile.bits or WHOLE_BITS)
    return width * (1 - (profile.sparsity or 0.0))


def _family(profile: Quantization) -> str | None:
    """What profiles are compared with; `None` with nothing.

    Float16 may overflow where integers hold, and a mixed profile is as mild as its layers.
    """
    if profile.scheme in (None, "mixed", *FLOAT_SCHEMES):
        return None
    return f"palette {profile.palette}" if profile.palette else "integers"


def _ranges(profile: Quantization) -> object:
    return (profile.calibration, profile.symmetric)


def _depth(profile: Quantization) -> float:
    if profile.activations == "int16":
        return INT16_DEEP
    return DEPTHS.get(str(profile.scheme), 0)


def _coarseness(profile: Quantization) -> float:
    """How many weights share a scale: a block, a channel, a whole tensor."""
    if profile.block_size is not None:
        return 1 - 1 / profile.block_size
    return 1.0 if profile.per_channel else 2.0


@dataclass(frozen=True)
class Sizes:
    """What the float artifact tells of how small it can become.

    Attributes:
        bytes: Its size.
        weights: Bytes of its weights that schemes make smaller: matrices and kernels.
    """

    bytes: int
    weights: int

    def least(self, width: float) -> float:
        """The size in bytes with so many bits a weight, and nothing added: no candidate is smaller."""
        return self.bytes - self.weights * (1 - min(width, WHOLE_BITS) / WHOLE_BITS)
