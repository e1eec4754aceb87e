"""A finished artifact as a graph that faults can be put into; one subclass a format.

Runs inside toolchains, so it needs numpy alone. Words for operations and their places are the same for all
formats, so that a fault is written once:

    conv, conv_transpose, linear      inputs: x, weight, bias
    matmul, sub, div, pow, mul, add   inputs: x, y
    concat                            inputs: what is joined
    slice, gather                     inputs: x and, where they are tensors, its bounds
    lstm, gru                         inputs: x and the recurrent weights
    reshape                           inputs: x

An operation that no fault is about has its format's own word.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")
GATES = {"lstm": 4, "gru": 3}
SHAPES = ("shape", "shapeof", "size")
"""Operations that give the sizes of what they take."""


@dataclass
class Node:
    """An operation.

    Attributes:
        name: What the format calls it: a name that the file holds or, where it holds none, the
            name of its first output.
        kind: What it does; see above.
        inputs: Names of tensors in the order of the places; empty where one is absent.
        outputs: Names of tensors.
        native: What the format's library has for it.
    """

    name: str
    kind: str
    inputs: list[str]
    outputs: list[str]
    native: Any = None


@dataclass(frozen=True)
class Spot:
    """A place where a fault can be.

    Attributes:
        node: The operation that computes something else then.
        description: What is done, in words.
        apply: Does it, in the graph that the spot was found in.
        tensor: The tensor that is changed, where it is one.
    """

    node: str
    description: str
    apply: Callable[[], None]
    tensor: str | None = None


@dataclass(frozen=True)
class Setting(Generic[T]):
    """An option of an operation.

    Attributes:
        value: What it is.
        change: Makes it another.
    """

    value: T
    change: Callable[[T], None]


@dataclass(frozen=True)
class Use:
    """A constant in use: by which operation, and as its which input."""

    node: Node
    place: int


@dataclass
class Graph(ABC):
    """An artifact, opened.

    Attributes:
        nodes: Operations in the order in which they run, constants left out.
        constants: Constant tensors by name.
        outputs: Names of the tensors that come out.
        quantized: Names of constants that hold integers in place of floats.
    """

    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    quantized: set[str] = field(default_factory=set)

    @abstractmethod
    def put(self, name: str, array: Array) -> None:
        """Stores another array of the same shape and dtype under a constant's name."""

    @abstractmethod
    def save(self, path: Path) -> None:
        """Writes the artifact."""

    @abstractmethod
    def swap(self, node: Node, first: int, second: int) -> None:
        """Swaps two inputs of an operation."""

    def epsilon(self, node: Node) -> Setting[float] | None:
        """An operation's epsilon, where it has one."""
        return None

    def pads(self, node: Node) -> Setting[list[int]] | None:
        """What is added before and after each axis in space: all that is before, then all after."""
        return None

    def activations(self, node: Node) -> Mapping[str, Callable[[], None]]:
        """Other activations that an operation can be made, by name."""
        return {}

    def windows(self, node: Node) -> Mapping[str, Callable[[], None]]:
        """Windows of the same size beside a slice's own, by description."""
        return {}

    def computes_sizes(self, node: Node) -> bool:
        """Whether an operation computes nothing but sizes."""
        return node.outputs[0] in self.sizes

    @cached_property
    def sizes(self) -> set[str]:
        """Tensors that are computed of shapes alone."""
        found: set[str] = set()
        for node in self.nodes:
            given = [name for name in node.inputs if name and name not in self.constants]
            if node.kind in SHAPES or (given and found.issuperset(given)):
                found.update(node.outputs)
        return found

    def drop(self, node: Node, place: int) -> None:
        """Takes an optional input away; by default it becomes zeros."""
        name = self.constant_behind(node.inputs[place])
        self.put(name, np.zeros_like(self.constants[name]))

    def constant_behind(self, tensor: str) -> str:
        """The constant that a tensor is, or is cast from.

        Raises:
            KeyError: It is computed.
        """
        if tensor in self.constants:
            return tensor
        maker = next((node for node in self.nodes if tensor in node.outputs), None)
        if maker is None or maker.kind != "cast":
            raise KeyError(tensor)
        return self.constant_behind(maker.inputs[0])

    def before_flattening(self) -> Iterator[tuple[Node, Callable[[], None]]]:
        """Operations that flatten [N, C, H, W], with what has them flatten [N, H, W, C]."""
        return iter(())

    @abstractmethod
    def swap_outputs(self, first: int, second: int) -> None:
        """Gives each of two outputs under the other's name."""

    def gates(self, node: Node) -> int:
        """How many gates the weights of an operation hold, side by side."""
        return GATES.get(node.kind, 0)

    def scales(self) -> Iterator[tuple[str, str, Callable[[float], None]]]:
        """Scales of quantized tensors: the operation, the tensor, and what multiplies its scale."""
        return iter(())

    def users(self, tensor: str) -> list[Use]:
        """Who takes a tensor."""
        return [
            Use(node, place)
            for node in self.nodes
            for place, given in enumerate(node.inputs)
            if given == tensor
        ]

    def users_of_value(self, tensor: str) -> list[Use]:
        """Who takes a constant, through casts that only widen it."""
        found: list[Use] = []
        for use in self.users(tensor):
            if use.node.kind == "cast":
                found += self.users_of_value(use.node.outputs[0])
            else:
                found.append(use)
        return found

    def is_constant(self, tensor: str) -> bool:
        """Whether a tensor is a constant, or a cast of one."""
        maker = next((node for node in self.nodes if tensor in node.outputs), None)
        if maker is None:
            return tensor in self.constants
        return maker.kind == "cast" and self.is_constant(maker.inputs[0])

    def near(self, name: str) -> list[str]:
        """An operation, and those that are next to it: names of operations and of their outputs."""
        found: dict[str, None] = {}
        own = [node for node in self.nodes if node.name == name]
        for node in own:
            beside = [
                other
                for other in self.nodes
                if set(other.outputs) & set(node.inputs) or set(node.outputs) & set(other.inputs)
            ]
            for one in (node, *beside):
                found[one.name] = None
                found.update(dict.fromkeys(one.outputs))
        return list(found)
