"""Where the computation of an artifact parts from the original's.

The strategy:
- A tensor of the artifact that holds what a tensor of the original holds is *explained*. How far apart
  they may lie grows with what came before: an operation may amplify the error of its inputs, but not
  make one out of nothing.
- A tensor that nothing explains is no fault by itself: converters spell operators out. It is *suspect*
  where a wrong output is reached from it with no explained tensor on the way.
- The fault is the first operation with a suspect output and no suspect input. One from which an
  explained tensor follows as well is taken only where there is no other.
- Where all tensors on the way are explained and an output is wrong still, errors have grown by and by:
  the fault is where they grew most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from buildsys.backends.kit.probing import Recording, Step
from buildsys.verify.matching import Match, Matcher, Tensor, compare

GROWTH = 4.0
"""How much larger than those of its inputs the error of an operation's output may be."""

WINDOW = 40
"""How many steps of the original after the last that is known a counterpart is looked for."""

LOOSE = 0.9
"""The error below which a tensor behind the fault is still said to be the original's."""

PREFIX = 4
ALIASES = (
    {"conv", "convolution", "conv2d", "conv1d", "depthwiseconv2d", "mkldnnconvolution"},
    {"gemm", "addmm", "matmul", "mm", "bmm", "linear", "fullyconnected", "batchmatmul"},
    {"mul", "mulscalar", "realdiv", "div", "truediv"},
    {"layernorm", "layernormalization", "nativelayernorm", "mvn"},
    {"batchnorm", "batchnormalization", "nativebatchnorm"},
    {"reducemean", "mean", "reducesum", "sum", "std", "var"},
    {"relu", "clip", "clamp", "hardtanh", "relu6"},
    {"maxpool", "maxpool2dwithindices", "maxpool2d"},
    {"averagepool", "avgpool2d", "globalaveragepool", "adaptiveavgpool2d", "mean"},
    {"gather", "embedding", "index", "indexselect"},
    {"square", "pow", "mul"},
)
"""Words of formats and of torch for one thing, without marks and in small letters."""


@dataclass
class Row:
    """One operation of the artifact beside what it corresponds to.

    Attributes:
        step: The operation.
        reference: The original's step that gives the same, where one is known.
        error: The error of its first output against that, where both are known.
        largest: The largest finite magnitude of its outputs.
        strays: How many elements of its outputs are not finite.
        explained: Whether its output is the original's, as far as the artifact's precision allows.
    """

    step: Step
    reference: Step | None = None
    error: float | None = None
    largest: float = 0.0
    strays: int = 0
    explained: bool = False


@dataclass
class Parting:
    """What a comparison of two recordings found.

    Attributes:
        rows: One an operation of the artifact, in order.
        at: The operation at fault, or `None`.
        error: The error there, where a tensor of the original is its counterpart.
        before: The largest error of what it takes.
        reference: The original's step that it stands for.
        grew: Whether it was found as the largest growth among explained tensors.
        largest_step: The operation where the error grew most, for what is healthy.
    """

    rows: list[Row] = field(default_factory=list)
    at: Row | None = None
    error: float | None = None
    before: float = 0.0
    reference: Step | None = None
    grew: bool = False
    largest_step: Row | None = None


class Comparison:
    """An artifact's recording against the original's.

    Args:
        artifact: The artifact's.
        original: The original's.
        floor: The error that the artifact's precision alone makes of an operation.
    """

    def __init__(self, artifact: Recording, original: Recording, floor: float) -> None:
        self._artifact = artifact
        self._original = original
        self._floor = floor
        runs = min(_runs(artifact), _runs(original))
        self._theirs = {n: Tensor.of(n, a[:runs]) for n, a in original.values.items()}
        self._ours = {n: Tensor.of(n, a[:runs]) for n, a in artifact.values.items()}
        self._exact = {n: Tensor.of(n, a[:runs]) for n, a in artifact.exact.items()}
        self._matcher = Matcher(self._theirs, max(10 * floor, 0.02))
        self._makers = {name: step for step in original.steps for name in step.outputs}
        self._fed = set(artifact.inputs.values())
        self._found: dict[str, list[Match]] = {}
        self._explained: dict[str, Match] = {}
        self._level: dict[str, float] = {}
        self._neutral: set[str] = set()

    def part(self, wrong: Sequence[str]) -> Parting:
        """Finds the place.

        Args:
            wrong: The recipe's outputs that are not the original's; none where it is healthy.
        """
        for name in self._fed:
            self._settle(name, 0.0)
        for step in self._artifact.steps:
            level = max((self._level.get(name, 0.0) for name in step.inputs), default=0.0)
            still = all(n in self._neutral for n in step.inputs)
            for name in step.outputs:
                self._settle(name, level, still)
        parting = Parting(rows=[self._row(step) for step in self._artifact.steps])
        self._guess_rest(parting)
        parting.largest_step = self._largest_growth(parting)
        if wrong:
            self._accuse(parting, wrong)
        return parting

    def alike(self, name: str) -> list[Match]:
        """What an artifact's value may be of the original's."""
        return self._found.get(name, [])

    # What is explained

    def _settle(self, name: str, level: float, still: bool = False) -> None:
        tensor = self._ours.get(name)
        if tensor is None:
            self._level[name] = level
            return
        if tensor.steady and (not tensor.floating or (still and tensor.finite)):
            # Sizes and positions that graphs compute have no counterpart in torch.
            self._neutral.add(name)
        found = self._matcher.matches(self._exact.get(name, tensor))
        if name in self._exact:
            found = [self._as_shipped(tensor, match) for match in found]
        self._found[name] = found
        allowed = max(self._floor, GROWTH * level)
        best = min(found, key=lambda m: m.error, default=None)
        if best is not None and best.error <= allowed:
            self._explained[name] = next(m for m in found if m.error <= allowed)
            self._level[name] = max(best.error, 0.0)
        else:
            self._level[name] = level

    def _as_shipped(self, tensor: Tensor, match: Match) -> Match:
        """The match of what was computed without rounding, with the error of what is shipped."""
        now = compare(tensor, self._theirs[match.name], self._floor)
        return match if now is None else Match(match.name, now.error, now.moved)

    # The table

    def _row(self, step: Step) -> Row:
        row = Row(step)
        outputs = [self._ours[n] for n in step.outputs if n in self._ours]
        row.strays = sum(t.strays for t in outputs)
        row.largest = max((_largest(t) for t in outputs), default=0.0)
        for name in step.outputs:
            match = self._explained.get(name)
            if match is not None:
                row.explained = True
                row.error = match.error
                row.reference = self._makers.get(match.name)
                break
        else:
            row.explained = bool(step.outputs) and all(n in self._neutral for n in step.outputs)
        return row

    def _guess_rest(self, parting: Parting) -> None:
        """Counterparts of what nothing explains: by names, and by what comes near in its place."""
        taken = {row.reference.number for row in parting.rows if row.reference is not None}
        last = -1
        for row in parting.rows:
            if row.reference is not None:
                last = max(last, row.reference.number)
                continue
            if row.explained or not row.step.outputs:
                continue
            name = row.step.outputs[0]
            near = self._nearest(name, last, taken)
            if near is None:
                continue
            error, step = near
            row.error = error if math.isfinite(error) else None
            row.reference = step
            taken.add(step.number)
            last = max(last, step.number)

    def _nearest(self, name: str, last: int, taken: set[int]) -> tuple[float, Step] | None:
        tensor = self._ours.get(name)
        if tensor is None or not tensor.floating:
            return None
        best: tuple[float, Step] | None = None
        for other in self._matcher.of_size(tensor.size):
            step = self._makers.get(other.name)
            if step is None or not last < step.number <= last + WINDOW or step.number in taken:
                continue
            if ":" in other.name:
                continue  # A piece of an operator: not what one is looked for by.
            match = compare(tensor, other, LOOSE / 10)
            if match is None:
                continue
            near = match.error if math.isfinite(match.error) else 2 * LOOSE
            if near <= LOOSE and (best is None or near < best[0]):
                best = near, step
        return best

    def _largest_growth(self, parting: Parting) -> Row | None:
        best, most = None, 0.0
        for row in parting.rows:
            if row.error is None or not row.explained:
                continue
            level = max((self._level.get(n, 0.0) for n in row.step.inputs), default=0.0)
            growth = row.error - level
            if growth > most:
                best, most = row, growth
        return best

    # The fault

    def _accuse(self, parting: Parting, wrong: Sequence[str]) -> None:
        rows = {name: row for row in parting.rows for name in row.step.outputs}
        suspects = self._suspects(parting.rows, wrong)
        values = [self._artifact.outputs[name] for name in wrong]
        vouched = self._vouched(parting.rows)
        candidates = [
            row
            for row in parting.rows
            if any(name in suspects for name in row.step.outputs)
            and not any(name in suspects for name in row.step.inputs)
        ]
        sure = [r for r in candidates if not any(n in vouched for n in r.step.outputs)]
        chosen = next(iter(sure), None)
        if chosen is None and candidates:
            chosen = candidates[0]
        if chosen is None:
            chosen = self._grown(parting.rows, values, rows)
            parting.grew = chosen is not None
        if chosen is None:
            return
        if not parting.grew:
            chosen = self._turned(self._unfinished(chosen, rows), rows)
        parting.at = chosen
        parting.before = max((self._level.get(n, 0.0) for n in chosen.step.inputs), default=0.0)
        parting.reference = self.counterpart(chosen.step) or chosen.reference
        if parting.grew:
            parting.reference = chosen.reference or parting.reference
        parting.error = chosen.error
        if parting.error is None and parting.reference is not None:
            parting.error = self._against(chosen.step, parting.reference)

    def _suspects(self, rows: Sequence[Row], wrong: Sequence[str]) -> set[str]:
        """Values that nothing explains and from which a wrong output follows with none explained."""
        suspects = set()
        for output in wrong:
            name, theirs = self._artifact.outputs[output], self._original.outputs.get(output)
            match = self._explained.get(name)
            level = match.error if match is not None else 0.0
            near = {m.name for m in self._found.get(name, []) if m.error <= 4 * level + 1e-6}
            # What it is of the original is no excuse, unless it is that very output.
            if name not in self._fed and (match is None or theirs not in near):
                suspects.add(name)
        for row in reversed(rows):
            if not any(name in suspects for name in row.step.outputs):
                continue
            for name in row.step.inputs:
                if name not in self._explained and name not in self._neutral | self._fed:
                    suspects.add(name)
        return suspects

    def _vouched(self, rows: Sequence[Row]) -> set[str]:
        """Values that nothing explains and from which an explained one is computed."""
        found: set[str] = set()
        for row in reversed(rows):
            outputs = row.step.outputs
            # What is explained because it does not vary says nothing of what it came from.
            if any(n in found for n in outputs) or any(
                n in self._explained and not self._ours[n].steady for n in outputs
            ):
                found |= {n for n in row.step.inputs if n not in self._explained}
        return found

    def _unfinished(self, row: Row, by_output: Mapping[str, Row]) -> Row:
        """Where a product without its bias goes on to something else than a sum: that product."""
        if any(word in row.step.operation.lower() for word in SUMS):
            return row
        for name in row.step.inputs:
            made = None
            while name in by_output and self._lacks_bias(name):
                made = by_output[name]
                if not made.step.inputs:
                    break
                name = made.step.inputs[0]
            if made is not None:
                return made
        return row

    def _turned(self, row: Row, by_output: Mapping[str, Row]) -> Row:
        """Where axes change places by what is no change of layout: operands that were swapped."""
        for name in row.step.inputs:
            while self._is_moved(name) and name in by_output:
                made = by_output[name]
                before = [n for n in made.step.inputs if self._is_moved(n)]
                if before:
                    name = before[0]
                    continue
                plain_name = "".join(_words(made.step.operation.lower()))
                if any(word in plain_name for word in PRODUCTS):
                    return made
                break
        return row

    def _is_moved(self, name: str) -> bool:
        match = self._explained.get(name)
        return match is not None and match.moved

    def _lacks_bias(self, name: str) -> bool:
        """Whether a value is explained by nothing but a product whose bias is missing."""
        match = self._explained.get(name)
        if match is None:
            return False
        near = [m for m in self._found[name] if m.error <= 4 * match.error + 1e-6]
        return all(m.name.endswith(UNBIASED) for m in near)

    def _grown(
        self, rows: Sequence[Row], wrong: Sequence[str], by_output: Mapping[str, Row]
    ) -> Row | None:
        """The operation above a wrong output where the error grew most, against its inputs' error."""
        above: set[str] = set()
        waiting = list(wrong)
        while waiting:
            name = waiting.pop()
            if name in above:
                continue
            above.add(name)
            row = by_output.get(name)
            if row is not None:
                waiting += row.step.inputs
        best, most = None, 0.0
        for row in rows:
            if row.error is None or not any(name in above for name in row.step.outputs):
                continue
            level = max((self._level.get(n, 0.0) for n in row.step.inputs), default=0.0)
            growth = row.error / max(level, self._floor / 10)
            if growth > most:
                best, most = row, growth
        return best

    def counterpart(self, step: Step) -> Step | None:
        """The original's step that an operation stands for, by its inputs, weights and names."""
        taken: list[set[str]] = []
        for name in step.inputs:
            if name in self._fed:
                recipe = [n for n, value in self._artifact.inputs.items() if value == name]
                alike = {m.name for m in self._found.get(name, []) if m.error <= self._floor}
                taken.append(alike | {self._original.inputs[n] for n in recipe})
            elif name in self._explained:
                near = self._explained[name].error
                taken.append({m.name for m in self._found[name] if m.error <= 4 * near + 1e-6})
        best, most = None, 0.0
        first = min((self._number(n) for names in taken for n in names), default=-1)
        for other in self._original.steps:
            if other.number <= first:
                continue
            score = self._likeness(step, other, taken)
            if score > most:
                best, most = other, score
        return best

    def _number(self, name: str) -> int:
        maker = self._makers.get(name)
        return maker.number if maker is not None else -1

    def _likeness(self, step: Step, other: Step, taken: Sequence[set[str]]) -> float:
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
        if score and _same_kind(step.operation, other.operation):
            score += 0.9
        sizes = {self._ours[n].size for n in step.outputs if n in self._ours}
        if score and any(
            self._theirs[n].size in sizes for n in other.outputs[:1] if n in self._theirs
        ):
            score += 0.5
        # A view has no arithmetic that could be wrong.
        if score and other.operation in VIEWS:
            score -= 0.8
        return score

    def _against(self, step: Step, other: Step) -> float | None:
        """The error of a step's output against its counterpart's, where they have one size."""
        for name in step.outputs:
            for theirs in other.outputs:
                if name in self._ours and theirs in self._theirs:
                    match = compare(self._ours[name], self._theirs[theirs], LOOSE / 10)
                    if match is not None:
                        return match.error
        return None

    def largest_without_rounding(self, row: Row, other: Step | None) -> float | None:
        """The largest magnitude that an operation would have given, had nothing overflowed."""
        told = self._artifact.unrounded
        before = [told[n] for n in row.step.outputs if n in told]
        if before:
            return max(before)
        found = [_largest(self._exact[n]) for n in row.step.outputs if n in self._exact]
        if other is not None:
            found += [_largest(self._theirs[n]) for n in other.outputs if n in self._theirs]
            found += [abs(n) for n in other.numbers if math.isfinite(n)]
            found += [_largest(self._theirs[n]) for n in other.inputs if n in self._theirs]
        return max(found, default=None)

    def rounding_alone(self, row: Row) -> bool:
        """Whether an operation is right where nothing is rounded."""
        return all(
            any(m.error <= self._floor for m in self._matcher.matches(self._exact[n]))
            for n in row.step.outputs
            if n in self._exact
        )

    def original_strays(self, row: Row, other: Step | None) -> bool:
        """Whether the original has values there that are not finite, as the artifact does."""
        names = list(other.outputs[:1]) if other is not None else []
        return any(self._theirs[n].strays for n in names if n in self._theirs)


PRODUCTS = ("matmul", "gemm", "einsum", "fullyconnected")
"""Operations that give other axes where their operands are swapped; converters have no cause to."""

SUMS = ("add", "sum", "bias")
UNBIASED = (":product", ":without bias")
"""Ends of the names of what an operator computes before it adds its bias."""

VIEWS = frozenset(
    f"aten::{name}"
    for name in (
        "view",
        "_unsafe_view",
        "t",
        "transpose",
        "permute",
        "expand",
        "unsqueeze",
        "squeeze",
        "detach",
        "alias",
        "clone",
        "reshape",
        "_reshape_alias",
    )
)


def plain(name: str) -> str:
    """A name as all formats may write it: letters and digits, parted by one mark."""
    return "_".join(part for part in _words(name.lower()))


def _words(name: str) -> Iterator[str]:
    word = ""
    for letter in name:
        if letter.isalnum():
            word += letter
        elif word:
            yield word
            word = ""
    if word:
        yield word


def _same_kind(operation: str, other: str) -> bool:
    mine = "".join(_words(operation.lower()))
    theirs = "".join(_words(other.rpartition("::")[2].lower()))
    if mine == theirs or any({mine, theirs} <= words for words in ALIASES):
        return True
    short = min(len(mine), len(theirs))
    return short >= PREFIX and (mine.startswith(theirs) or theirs.startswith(mine))


def _largest(tensor: Tensor) -> float:
    values = abs(tensor.array.astype("float64"))
    finite = values[values < math.inf]
    return float(finite.max()) if finite.size else 0.0


def _runs(recording: Recording) -> int:
    return min((len(a) for a in recording.values.values()), default=0)
