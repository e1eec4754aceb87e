"""The operation that is at fault for wrong outputs.

- A value that nothing explains is no fault by itself: converters spell operators out. It is *suspect*
  where a wrong output is reached from it with no explained value on the way.
- The fault is the first operation with a suspect output and no suspect input. One from which an
  explained value follows as well is taken only where there is no other.
- Where all values on the way are explained and an output is wrong still, errors have grown by and by:
  the fault is where they grew most.
"""

from __future__ import annotations

from collections.abc import Sequence

from buildsys.backends.kit.inspect.probing import Recording
from buildsys.verify.localization.alignment import Row
from buildsys.verify.localization.equal_values import EqualValues
from buildsys.verify.localization.operator_names import unmarked

PRODUCTS = ("matmul", "gemm", "einsum", "fullyconnected")
"""Operations that give other axes where their operands are swapped; converters have no cause to."""

SUMS = ("add", "sum", "bias")
UNBIASED = (":product", ":without bias")
"""Ends of the names of what an operator computes before it adds its bias."""


class Attribution:
    """Looks for the fault.

    Args:
        artifact: The artifact's recording.
        original: The original's.
        explained: What of the one is what of the other.
        rows: The artifact's operations.
    """

    def __init__(
        self,
        artifact: Recording,
        original: Recording,
        explained: EqualValues,
        rows: Sequence[Row],
    ) -> None:
        self._artifact = artifact
        self._original = original
        self._explained = explained
        self._rows = rows
        self._by_output = {name: row for row in rows for name in row.step.outputs}

    def first(self, wrong: Sequence[str]) -> Row | None:
        """The first operation that gives what nothing explains.

        Args:
            wrong: The recipe's outputs that are not the original's.
        """
        suspects = self._suspects(wrong)
        candidates = [
            row
            for row in self._rows
            if any(name in suspects for name in row.step.outputs)
            and not any(name in suspects for name in row.step.inputs)
        ]
        vouched = self._vouched()
        sure = [r for r in candidates if not any(n in vouched for n in r.step.outputs)]
        chosen = next(iter(sure or candidates), None)
        return chosen and self._turned(self._unfinished(chosen))

    def grown(self, wrong: Sequence[str]) -> Row | None:
        """The operation above a wrong output where the error grew most, against its inputs' error."""
        above: set[str] = set()
        waiting = [self._artifact.outputs[name] for name in wrong]
        while waiting:
            name = waiting.pop()
            if name in above:
                continue
            above.add(name)
            row = self._by_output.get(name)
            if row is not None:
                waiting += row.step.inputs
        best, most = None, 0.0
        for row in self._rows:
            if row.error is None or not any(name in above for name in row.step.outputs):
                continue
            level = self._explained.level(row.step.inputs)
            growth = row.error / max(level, self._explained.floor / 10)
            if growth > most:
                best, most = row, growth
        return best

    def _suspects(self, wrong: Sequence[str]) -> set[str]:
        """Values that nothing explains and from which a wrong output follows with none explained."""
        explained = self._explained
        suspects = set()
        for output in wrong:
            name, theirs = self._artifact.outputs[output], self._original.outputs.get(output)
            # What it is of the original is no excuse, unless it is that very output.
            if name not in explained.fed and theirs not in {m.name for m in explained.near(name)}:
                suspects.add(name)
        for row in reversed(self._rows):
            if not any(name in suspects for name in row.step.outputs):
                continue
            for name in row.step.inputs:
                excused = name in explained or name in explained.fed or explained.is_neutral(name)
                if not excused:
                    suspects.add(name)
        return suspects

    def _vouched(self) -> set[str]:
        """Values that nothing explains and from which an explained one is computed."""
        explained = self._explained
        found: set[str] = set()
        for row in reversed(self._rows):
            outputs = row.step.outputs
            # What is explained because it does not vary says nothing of what it came from.
            if any(n in found for n in outputs) or any(
                n in explained and not explained.ours[n].steady for n in outputs
            ):
                found |= {n for n in row.step.inputs if n not in explained}
        return found

    def _unfinished(self, row: Row) -> Row:
        """Where a product without its bias goes on to something else than a sum: that product."""
        if any(word in row.step.operation.lower() for word in SUMS):
            return row
        for name in row.step.inputs:
            made = None
            while name in self._by_output and self._lacks_bias(name):
                made = self._by_output[name]
                if not made.step.inputs:
                    break
                name = made.step.inputs[0]
            if made is not None:
                return made
        return row

    def _lacks_bias(self, name: str) -> bool:
        """Whether a value is explained by nothing but a product whose bias is missing."""
        near = self._explained.near(name)
        return bool(near) and all(m.name.endswith(UNBIASED) for m in near)

    def _turned(self, row: Row) -> Row:
        """Where axes change places by what is no change of layout: operands that were swapped."""
        is_moved = self._explained.is_moved
        for name in row.step.inputs:
            while is_moved(name) and name in self._by_output:
                made = self._by_output[name]
                before = [n for n in made.step.inputs if is_moved(n)]
                if before:
                    name = before[0]
                    continue
                if any(word in unmarked(made.step.operation) for word in PRODUCTS):
                    return made
                break
        return row
