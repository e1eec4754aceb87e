"""What comparing an artifact's constants with the model's weights gave, as `weights.json` has it."""

from __future__ import annotations

from dataclasses import dataclass

from buildsys.figures.json_form import optional


@dataclass(frozen=True)
class Element:
    """One altered number.

    Attributes:
        index: Where it is in the tensor.
        stored: What the artifact has; `null` where it is not finite.
        expected: What the model has.
    """

    index: tuple[int, ...]
    stored: float | None
    expected: float | None


@dataclass(frozen=True)
class Altered:
    """A tensor that is nearly one of the model's weights.

    Attributes:
        name: Its name in the artifact.
        of: The weights that it is made of.
        why: What is wrong.
        count: How many numbers are altered.
        elements: The first of them.
        readers: Operations that use the tensor.
    """

    name: str
    of: tuple[str, ...]
    why: str
    count: int = 0
    elements: tuple[Element, ...] = ()
    readers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unexplained:
    """A tensor that no weight of the model explains.

    Attributes:
        name: Its name in the artifact.
        shape: Its shape.
        bytes: Its size.
        readers: Operations that use it.
    """

    name: str
    shape: tuple[int, ...]
    bytes: int = 0
    readers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing(Unexplained):
    """A tensor that no weight explains, where a weight of the model seems to belong.

    Attributes:
        of: The weight that seems to belong there.
        why: Why.
        count: How many numbers it has.
    """

    of: tuple[str, ...] = ()
    why: str = ""
    count: int = 0


@dataclass(frozen=True)
class RoundedWeights:
    """What an artifact holds in place of the model's weights.

    Attributes:
        reason: Why the original was not given it; `null` where it was.
        count: How many weights.
        numbers: Single numbers that are rounded as well.
    """

    reason: str | None
    count: int = 0
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weights:
    """What comparing the artifact's constants with the model's weights gave.

    Attributes:
        compared: Tensors.
        exact: Tensors that are a weight, bit by bit.
        rounded: Tensors that are a rounded weight.
        quantized: Tensors that are a quantized weight.
        rearranged: Tensors that are a weight in another order.
        folded: Tensors that are computed of weights.
        altered: Tensors that are nearly a weight.
        missing: Tensors that stand where a weight seems to belong.
        unexplained: Other tensors that no weight explains.
        bytes: Of all tensors.
        traced: The part of all numbers that are known to be the model's.
        share_of_bytes: The part of all bytes that is explained.
        numbers: How many numbers there are.
        untried: Tensors that the search did not come to.
        held: What the original was given to judge the graph alone.
    """

    compared: int = 0
    exact: int = 0
    rounded: int = 0
    quantized: int = 0
    rearranged: int = 0
    folded: int = 0
    altered: tuple[Altered, ...] = ()
    missing: tuple[Missing, ...] = ()
    unexplained: tuple[Unexplained, ...] = ()
    bytes: int = 0
    share_of_bytes: float = 1.0
    numbers: int = 0
    traced: float | None = None
    untried: int = 0
    held: RoundedWeights | None = optional()

    @property
    def untraced(self) -> tuple[Unexplained, ...]:
        """The tensors that nothing explains."""
        return (*self.unexplained, *self.missing)
