"""Which values of an artifact are values of the original, as far as its precision allows.

How far apart they may lie grows with what came before: an operation may amplify the error of its
inputs, but not make one out of nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from buildsys.backends.kit.inspect.probing import Recording, Step
from buildsys.verify.localization.tensor_matching import Match, Matcher, Tensor, compare

GROWTH = 4.0
"""How much larger than those of its inputs the error of an operation's output may be."""


class EqualValues:
    """An artifact's values against the original's.

    Args:
        artifact: The artifact's recording.
        original: The original's.
        floor: The error that the artifact's precision alone makes of an operation.

    Attributes:
        ours: The artifact's values.
        theirs: The original's.
        exact: The artifact's as they would be without rounding, where that was recorded.
        fed: The artifact's inputs.
        floor: As given.
    """

    def __init__(self, artifact: Recording, original: Recording, floor: float) -> None:
        runs = min(_runs(artifact), _runs(original))
        self.ours = {n: Tensor.of(n, a[:runs]) for n, a in artifact.values.items()}
        self.theirs = {n: Tensor.of(n, a[:runs]) for n, a in original.values.items()}
        self.exact = {n: Tensor.of(n, a[:runs]) for n, a in artifact.exact.items()}
        self.fed = frozenset(artifact.inputs.values())
        self.floor = floor
        self._matcher = Matcher(self.theirs, max(10 * floor, 0.02))
        self._makers = {name: step for step in original.steps for name in step.outputs}
        self._found: dict[str, list[Match]] = {}
        self._explained: dict[str, Match] = {}
        self._level: dict[str, float] = {}
        self._neutral: set[str] = set()
        for name in self.fed:
            self._settle(name, 0.0)
        for step in artifact.steps:
            level = self.level(step.inputs)
            still = all(n in self._neutral for n in step.inputs)
            for name in step.outputs:
                self._settle(name, level, still)

    def __contains__(self, name: str) -> bool:
        return name in self._explained

    def match(self, name: str) -> Match | None:
        """What a value is of the original."""
        return self._explained.get(name)

    def alike(self, name: str) -> Sequence[Match]:
        """All that a value may be of the original."""
        return self._found.get(name, [])

    def near(self, name: str) -> Sequence[Match]:
        """What a value is of the original, and what it is as nearly; nothing of what is not explained."""
        match = self._explained.get(name)
        if match is None:
            return []
        # Errors that differ by rounding alone do not.
        return [m for m in self._found[name] if m.error <= 4 * match.error + 1e-6]

    def level(self, names: Iterable[str]) -> float:
        """The largest error of some values; what is not explained has that of what it came from."""
        return max((self._level.get(name, 0.0) for name in names), default=0.0)

    def is_neutral(self, name: str) -> bool:
        """Whether a value depends on no input: a size or a position, which graphs compute."""
        return name in self._neutral

    def is_moved(self, name: str) -> bool:
        """Whether a value is the original's with its axes in another order."""
        match = self._explained.get(name)
        return match is not None and match.moved

    def maker(self, name: str) -> Step | None:
        """The original's step that gives a value of the original."""
        return self._makers.get(name)

    def of_size(self, size: int) -> Sequence[Tensor]:
        """All values of the original with so many elements."""
        return self._matcher.of_size(size)

    def right_without_rounding(self, name: str) -> bool:
        """Whether a value that was recorded without rounding is the original's."""
        return any(m.error <= self.floor for m in self._matcher.matches(self.exact[name]))

    def _settle(self, name: str, level: float, still: bool = False) -> None:
        tensor = self.ours.get(name)
        if tensor is None:
            self._level[name] = level
            return
        if tensor.steady and (not tensor.floating or (still and tensor.finite)):
            # Sizes and positions that graphs compute have no counterpart in torch.
            self._neutral.add(name)
        found = self._matcher.matches(self.exact.get(name, tensor))
        if name in self.exact:
            found = [self._as_shipped(tensor, match) for match in found]
        self._found[name] = found
        allowed = max(self.floor, GROWTH * level)
        best = min(found, key=lambda m: m.error, default=None)
        if best is not None and best.error <= allowed:
            self._explained[name] = next(m for m in found if m.error <= allowed)
            self._level[name] = max(best.error, 0.0)
        else:
            self._level[name] = level

    def _as_shipped(self, tensor: Tensor, match: Match) -> Match:
        """The match of what was computed without rounding, with the error of what is shipped."""
        now = compare(tensor, self.theirs[match.name], self.floor)
        return match if now is None else Match(match.name, now.error, now.moved)


def _runs(recording: Recording) -> int:
    return min((len(a) for a in recording.values.values()), default=0)
