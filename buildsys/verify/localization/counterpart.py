"""The original's step that an operation stands for, which need not give the same."""

from __future__ import annotations

from collections.abc import Sequence

from buildsys.backends.kit.inspect.probing import Recording, Step
from buildsys.verify.localization.alignment import LOOSE
from buildsys.verify.localization.equal_values import EqualValues
from buildsys.verify.localization.operator_names import VIEWS, plain, same_kind
from buildsys.verify.localization.tensor_matching import compare


class Counterparts:
    """Finds steps of the original by inputs, weights and names.

    Args:
        artifact: The artifact's recording.
        original: The original's.
        explained: What of the one is what of the other.
    """

    def __init__(self, artifact: Recording, original: Recording, explained: EqualValues) -> None:
        self._artifact = artifact
        self._original = original
        self._explained = explained

    def of(self, step: Step) -> Step | None:
        """The step of the original that is likest to an operation; `None` where none is at all."""
        explained = self._explained
        taken: list[set[str]] = []
        for name in step.inputs:
            if name in explained.fed:
                recipe = [n for n, value in self._artifact.inputs.items() if value == name]
                alike = {m.name for m in explained.alike(name) if m.error <= explained.floor}
                taken.append(alike | {self._original.inputs[n] for n in recipe})
            elif name in explained:
                taken.append({m.name for m in explained.near(name)})
        best, most = None, 0.0
        first = min((self._number(n) for names in taken for n in names), default=-1)
        for other in self._original.steps:
            if other.number <= first:
                continue
            score = self._likeness(step, other, taken)
            if score > most:
                best, most = other, score
        return best

    def error(self, step: Step, other: Step) -> float | None:
        """The error of a step's output against its counterpart's, where they have one size."""
        ours, theirs = self._explained.ours, self._explained.theirs
        for name in step.outputs:
            for output in other.outputs:
                if name in ours and output in theirs:
                    match = compare(ours[name], theirs[output], LOOSE / 10)
                    if match is not None:
                        return match.error
        return None

    def _number(self, name: str) -> int:
        maker = self._explained.maker(name)
        return maker.number if maker is not None else -1

    def _likeness(self, step: Step, other: Step, taken: Sequence[set[str]]) -> float:
        ours, theirs = self._explained.ours, self._explained.theirs
        score = 0.0
        fed = sum(any(n in names for n in other.inputs) for names in taken)
        if fed:
            score += 2.0 * fed / len(taken)
        if step.weights and other.weights:
            stored = [plain(name) for name in step.weights]
            named = sum(any(plain(w) in name for name in stored) for w in other.weights)
            score += 3.0 * named / len(other.weights)
        if other.module:
            told = [plain(step.name), *(plain(n) for n in step.outputs)]
            if any(plain(other.module) in name for name in told):
                score += 1.0 + 0.01 * len(other.module)
        if score and same_kind(step.operation, other.operation):
            score += 0.9
        sizes = {ours[n].size for n in step.outputs if n in ours}
        if score and any(theirs[n].size in sizes for n in other.outputs[:1] if n in theirs):
            score += 0.5
        # A view has no arithmetic that could be wrong.
        if score and other.operation in VIEWS:
            score -= 0.8
        return score
