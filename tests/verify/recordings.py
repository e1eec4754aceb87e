"""Small recordings of two sides of one computation, made with numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from buildsys.backends.kit.inspect.probing import Recording, Step

Array = np.ndarray[Any, np.dtype[Any]]
RUNS = 2


def samples(*shape: int, seed: int = 0) -> Array:
    """Normal numbers, [runs, ...]."""
    return np.random.default_rng(seed).standard_normal((RUNS, *shape)).astype(np.float32)


@dataclass
class Side:
    """A computation that is noted as it is done.

    Attributes:
        values: All values, [runs, ...].
        steps: What was done.
        exact: What was done without rounding, where that is told apart.
    """

    values: dict[str, Array] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    exact: dict[str, Array] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)

    def feed(self, name: str, array: Array) -> str:
        """An input of the model."""
        self.values[name] = array
        self.inputs[name] = name
        return name

    def do(
        self,
        operation: str,
        output: str,
        function: Callable[..., Array],
        *inputs: str,
        weights: Sequence[str] = (),
        module: str | None = None,
        exact: Array | None = None,
        numbers: Sequence[float] = (),
    ) -> str:
        """One operation."""
        with np.errstate(all="ignore"):
            self.values[output] = function(*(self.values[name] for name in inputs))
        if exact is not None:
            self.exact[output] = exact
        number = len(self.steps)
        self.steps.append(
            Step(
                number,
                operation,
                output,
                inputs,
                (output,),
                tuple(weights),
                tuple(numbers),
                module,
                "model.py" if module is not None else None,
                10 + number if module is not None else None,
                f"line {number}" if module is not None else None,
            )
        )
        return output

    def recording(
        self, outputs: Mapping[str, str], given: Mapping[str, Array] | None = None
    ) -> Recording:
        """All of it."""
        return Recording(
            "numpy",
            self.steps,
            self.inputs,
            outputs,
            self.values,
            self.exact,
            given or {name: self.values[value] for name, value in outputs.items()},
        )
