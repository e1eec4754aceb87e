"""Compares constants with weights of as many elements, one by one: after rounding, folding, quantizing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.kit.inspect.stored_weights import Stored, Weights
from buildsys.verify.weights.budget import Budget
from buildsys.verify.weights.folding import formulas
from buildsys.verify.weights.match import (
    ALTERED,
    EXACT,
    FOLDED,
    NEARLY,
    QUANTIZED,
    Match,
    outcome,
)
from buildsys.verify.weights.numbers.agreement import FLOATS, WIDTH, agrees, least_step, room_of
from buildsys.verify.weights.numbers.axis_orders import is_vector, orders, picked, spread
from buildsys.verify.weights.numbers.candidates import Candidate, Group
from buildsys.verify.weights.numbers.fingerprints import TINY_HALF
from buildsys.verify.weights.numbers.proportion import distance, factors_of, proportional, telling
from buildsys.verify.weights.numbers.sampled import Room

Array = NDArray[Any]

SAMPLE = 509
"""Elements that are looked at before a candidate is compared as a whole."""
LIKELY = 0.6
"""The part of them that must agree."""
COARSE = {"float64": 1e-3, "float32": 1e-3, "bfloat16": 2e-2, "float16": 4e-3}
PASSES = 8
"""How often each element is looked at where two tensors are compared as a whole."""
OVERHEAD = 16
"""What a comparison costs besides, in multiples of the few elements that it begins with."""
COARSEST = 0.1
"""How far from proportional to a weight rounding may have taken a tensor, by its type."""
LONG = 4
"""Elements from which on one relation of all of them is no chance."""
REPEATED = {"float64": 64.0, "float32": 64.0, "bfloat16": 4.0, "float16": 4.0}
"""Roundings of the storage's type that converters' arithmetic may have made of it, at most: it is done in
float32, and what is narrower is rounded at its end."""
ROWS = 8
"""Rows of a matrix that are tried before all are."""
LOOKED_AT = 2**16
"""Elements that are compared before all are."""
MANY, STEPS = 256, 4
"""From how many elements on, and of how many steps, float16's smallest numbers tell a weight."""
TINIEST = 1e-30


@dataclass
class _Best:
    """The candidate that agrees best so far."""

    share: float = 0.0
    candidate: Candidate | None = None
    wrong: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    expected: Array = field(default_factory=lambda: np.zeros(0))


class Comparison:
    """A model's weights by their sizes.

    Args:
        model: The model's weights.
        decoded: Their numbers by name.
        sums: Those of sums of two.
        budget: What all comparisons are counted in.
    """

    def __init__(
        self,
        model: Weights,
        decoded: Mapping[str, Array],
        sums: Mapping[str, Array],
        budget: Budget,
    ) -> None:
        self._budget = budget
        self._model = model
        self._weights = decoded
        self._sums = sums
        self._gained: dict[tuple[str, str], None] = {}
        self._sizes: dict[int, list[Candidate]] = {}
        self._vectors: dict[int, list[Candidate]] = {}
        self._slacks = {tensor.name: tensor.slack for tensor in model.tensors}
        self._grouped: dict[int, list[Group]] = {}
        self._pairs: dict[int, formulas.Vectors] = {}
        self._scalings = list(formulas.scalings(model.norms, decoded))
        self._last: tuple[Stored, list[tuple[Candidate, tuple[int, ...], int]]] | None = None

    def nearly(self, stored: Stored) -> Match | None:
        """A weight, or what folding makes of some, with all or nearly all of the numbers."""
        best = _Best()
        for candidate, order in self._worth(stored):
            self._try(stored, candidate, order, best)
            if best.share == 1.0:
                break
        return self._verdict(stored, best)

    def _worth(self, stored: Stored) -> Iterator[tuple[Candidate, tuple[int, ...]]]:
        """Candidates that a few elements do not rule out, each with an order of axes."""
        decoded, room = stored.decoded, room_of(stored)
        for group in self._groups(stored.values.size):
            self._budget.spend(group.alike.cost)
            for which, order in group.alike.agreeing(decoded, room, group.slack):
                yield group.candidates[which], order
        for made in self._of_vectors(stored, room):
            yield Candidate(made.of, made.values, made.slack, folded=True), (0,)

    def _groups(self, size: int) -> list[Group]:
        """All candidates of so many elements, by their shapes; what is folded comes last."""
        found = self._grouped.get(size)
        if found is None:
            shapes: dict[Any, list[Candidate]] = {}
            for one in (*self._candidates(size), *self._folded_vectors(size)):
                shapes.setdefault((one.folded, one.values.shape), []).append(one)
            found = [Group.of(each) for each in shapes.values()]
            self._grouped[size] = found
        return found

    def _of_vectors(self, stored: Stored, room: Room) -> Iterator[formulas.Expected]:
        """What folding makes of two vectors, such as a bias and the norm behind it."""
        size = stored.values.size
        if not is_vector(stored.values) or not telling(stored.decoded):
            return
        known = self._pairs.get(size)
        if known is None:
            known = formulas.Vectors(self._model.norms, self._weights, size)
            self._pairs[size] = known
        self._budget.spend(known.cost)
        yield from known.likely(stored.decoded.reshape(-1), room)

    def _candidates(self, size: int) -> list[Candidate]:
        found = self._sizes.get(size)
        if found is None:
            found = []
            for name, values in itertools.chain(self._weights.items(), self._sums.items()):
                if values.size == size:
                    slack = self._slacks.get(name, 0.0)
                    found.append(Candidate((name,), values, slack, folded=slack > 0))
                found += [
                    Candidate((part,), piece)
                    for part, piece in formulas.parts(name, values)
                    if piece.size == size
                ]
            every = {**self._weights, **self._sums}
            for name in every:
                found += [
                    Candidate((name,), made)
                    for _, made in formulas.reordered(name, every)
                    if made.size == size
                ]
            self._sizes[size] = found
        return found

    def _folded_vectors(self, size: int) -> list[Candidate]:
        found = self._vectors.get(size)
        if found is None:
            found = [
                Candidate(made.of, made.values, made.slack, folded=True)
                for made in formulas.vectors(self._model.norms, self._weights, size)
            ]
            self._vectors[size] = found
        return found

    def _try(
        self, stored: Stored, candidate: Candidate, order: tuple[int, ...], best: _Best
    ) -> None:
        size = stored.values.size
        places = spread(size, SAMPLE)
        self._budget.spend(len(places) * OVERHEAD)
        sample = picked(candidate.values, order, places)
        slack = candidate.slack
        if isinstance(slack, np.ndarray):
            slack = picked(slack, order, places)
        share = agrees(stored, places, sample, slack).mean()
        if share < min(LIKELY, 1 - 1.5 / size):
            return
        self._budget.spend(PASSES * size)
        expected = candidate.values.transpose(order).reshape(-1)
        slack = candidate.slack
        if isinstance(slack, np.ndarray):
            slack = slack.transpose(order).reshape(-1)
        right = agrees(stored, slice(None), expected, slack)
        share = float(right.mean())
        if share > best.share:
            wrong = np.flatnonzero(~right)
            best.share, best.candidate = share, candidate
            best.wrong, best.expected = wrong, expected[wrong]

    def _verdict(self, stored: Stored, best: _Best) -> Match | None:
        candidate = best.candidate
        if candidate is None:
            return None
        if best.share == 1.0:
            if candidate.folded:
                return Match(FOLDED, candidate.of)
            return Match(QUANTIZED if stored.storage not in FLOATS else EXACT, candidate.of)
        right = np.ones(stored.values.size, bool)
        right[best.wrong] = False
        expected = np.zeros(right.shape)
        expected[best.wrong] = best.expected
        return outcome(stored, candidate.of, right, expected)

    def nothing(self, stored: Stored) -> Match | None:
        """A weight times the gain of a norm that is zero throughout, as residual branches begin with."""
        if stored.values.any() or stored.storage not in FLOATS:
            return None
        for gain, values in self._weights.items():
            if values.ndim != 1 or values.any():
                continue
            for candidate in self._candidates(stored.values.size):
                shape = candidate.values.shape
                if len(shape) > 1 and values.size in shape[:2]:
                    return Match(FOLDED, (*candidate.of, gain), sure=False)
        return None

    def shifted(self, stored: Stored, beside: Collection[str]) -> Match | None:
        """What was added before a layer, through that layer.

        A norm's shift, where its gain was found in the layer when that was compared; or any vector,
        where an operation uses the constant together with the layer's matrix.

        Args:
            stored: The constant.
            beside: The weights that its operations use besides.
        """
        best = _Best()
        pairs = [(name, gain.removesuffix("weight") + "bias") for name, gain in self._gained]
        pairs += [(name, added) for name in beside for added in self._added_before(name, stored)]
        for name, added in pairs:
            for made in formulas.through(name, added, self._weights):
                if made.values.size == stored.values.size:
                    candidate = Candidate(made.of, made.values, made.slack, folded=True)
                    for order in orders(made.values.shape, stored.values.shape):
                        self._try(stored, candidate, order, best)
        return self._verdict(stored, best)

    def _added_before(self, name: str, stored: Stored) -> Iterator[str]:
        """Vectors that may have been moved through a matrix: a few rows tell most of them."""
        weight = self._weights.get(name, np.zeros(0))
        if weight.ndim != 2 or weight.shape[0] != stored.values.size:
            return
        rows = weight[:ROWS].astype(np.float64)
        bias = self._weights.get(name.removesuffix("weight") + "bias", np.zeros(len(weight)))
        if bias.size != len(weight):
            return
        left = stored.values.reshape(-1)[:ROWS].astype(np.float64) - bias.reshape(-1)[:ROWS]
        for added, vector in self._weights.items():
            if vector.ndim == 1 and vector.size == weight.shape[1]:
                moved = rows @ vector.astype(np.float64)
                room = COARSE["float32"] * (np.abs(rows) @ np.abs(vector).astype(np.float64))
                if (np.abs(moved - left) <= room).all():
                    yield added

    def scaled(self, stored: Stored, *, by_norms: bool) -> Match | None:
        """A weight times one factor a channel, as a norm gives it; altered only where no other fits.

        Args:
            stored: The constant.
            by_norms: Whether the factors are those of a norm; else they are guessed.
        """
        decoded = stored.decoded.reshape(-1)
        altered = None
        if not (telling(decoded) or (by_norms and _many_steps(stored))):
            return None
        for candidate, order, axis in self._proportional(stored):
            self._budget.spend(PASSES * stored.values.size)
            if not np.any(candidate.values):
                continue
            shape = [candidate.values.shape[i] for i in order]
            turned = decoded.reshape(shape).transpose(np.argsort(order))
            found = self._scaled_along(stored, candidate, turned, order, axis, by_norms)
            if found is not None and found.kind != ALTERED:
                return found
            altered = altered or found
        return altered

    def _proportional(self, stored: Stored) -> list[tuple[Candidate, tuple[int, ...], int]]:
        """Candidates that a few elements do not rule out, with order and axis; asked for twice in a row."""
        if self._last is None or self._last[0] is not stored:
            coarse = COARSE.get(stored.storage, COARSEST)
            found = []
            for group in self._groups(stored.values.size):
                if len(group.alike.shape) < 2:
                    continue
                self._budget.spend(group.alike.cost)
                near = group.alike.proportional(stored.decoded, coarse, least_step(stored.storage))
                for which, order, axis in near:
                    found.append((group.candidates[which], order, axis))
            self._last = stored, found
        return self._last[1]

    def _scaled_along(
        self,
        stored: Stored,
        candidate: Candidate,
        turned: Array,
        order: tuple[int, ...],
        axis: int,
        by_norms: bool,
    ) -> Match | None:
        weight = candidate.values
        coarse, least = COARSE.get(stored.storage, COARSEST), least_step(stored.storage)
        # Two channels tell most weights from others.
        if weight.size // weight.shape[axis] < 2 or not proportional(
            _rows(weight[_first(axis)], axis),
            _rows(turned[_first(axis)], axis),
            coarse,
            least=least,
        ):
            return None
        rows, got = _rows(weight, axis).astype(np.float64), _rows(turned, axis)
        factors = factors_of(rows, got)
        if not proportional(rows, got, coarse, factors, NEARLY, least):
            return None
        own = float(np.max(candidate.slack))

        def compared(of: Array, slack: float) -> tuple[Array, Array]:
            expected = _back(rows * of[:, None], weight.shape, axis).transpose(order).reshape(-1)
            room = np.abs(expected) * slack
            if own:  # What rounding did to the weight itself grows with it.
                wide = np.broadcast_to(own * np.abs(of)[:, None], rows.shape)
                room += _back(wide, weight.shape, axis).transpose(order).reshape(-1)
            return agrees(stored, slice(None), expected, room), expected

        if not by_norms:
            return self._scaled_by_no_norm(stored, candidate, factors, compared)
        best: tuple[float, formulas.Scaling, Array, Array] | None = None
        tried: set[bytes] = set()
        for scaling in self._fitting(
            factors, coarse, least / np.abs(rows).max(axis=1).clip(TINIEST)
        ):
            if (same := scaling.factors.tobytes()) in tried:
                continue  # Untrained norms all have one factor.
            tried.add(same)
            right, expected = compared(scaling.factors, formulas.ROUNDINGS * formulas.EPSILON)
            share = float(right.mean())
            if best is None or share > best[0]:
                best = share, scaling, right, expected
            if share == 1.0:
                break
        if best is None:
            return None
        share, scaling, right, expected = best
        of = (*candidate.of, *scaling.of)
        if share == 1.0 and axis == 1:
            self._gained[candidate.of[0], scaling.of[0]] = None
        return outcome(stored, of, right, expected)

    def _scaled_by_no_norm(
        self,
        stored: Stored,
        candidate: Candidate,
        factors: Array,
        compared: Callable[[Array, float], tuple[Array, Array]],
    ) -> Match | None:
        """A weight times factors that no norm has: what a converter knows of them is not known here."""
        if stored.storage == "float32":
            right, expected = compared(factors, 4 * formulas.EPSILON)
            if not right.all():
                return outcome(stored, candidate.of, right, expected)
        elif stored.storage in FLOATS:
            # The factor itself is known no better than that.
            right, _ = compared(factors, 2 * WIDTH[stored.storage])
            if not right.all():
                return None
        return None if (factors == 1).all() else Match(FOLDED, candidate.of, sure=False)

    def _fitting(self, factors: Array, coarse: float, least: Array) -> Iterator[formulas.Scaling]:
        """Norms and layer scales whose factors these are, nearly all of them, up to rounding."""
        for scaling in self._scalings:
            if scaling.factors.shape == factors.shape:
                off = np.abs(factors - scaling.factors)
                if (off <= coarse * np.abs(scaling.factors) + least).mean() >= NEARLY:
                    yield scaling

    def affine(self, stored: Stored) -> Match | None:
        """A vector times one factor, plus one number: constants around it were folded in."""
        if stored.storage not in FLOATS or not is_vector(stored.values):
            return None
        values = stored.values.astype(np.float64).reshape(-1)
        if not telling(values) or values.size < LONG:
            return None
        for candidate in self._candidates(values.size):
            weight = candidate.values.astype(np.float64).reshape(-1)
            spread = weight - weight.mean()
            if not spread.any():
                continue
            factor = float(spread @ values / (spread @ spread))
            shift = float(values.mean() - factor * weight.mean())
            size = np.abs(factor * weight) + abs(shift) + np.abs(values)
            room = size * (4 * WIDTH[stored.storage])
            if (np.abs(values - factor * weight - shift) <= room).all():
                return Match(FOLDED, candidate.of, sure=False)
        return None

    def close(self, stored: Stored) -> Match | None:
        """Numbers that are all off by no more than a long chain of roundings may take them."""
        if stored.storage not in FLOATS or stored.values.size < LONG:
            return None
        values = stored.values.reshape(-1)
        room = np.full(1, COARSE[stored.storage] * float(np.abs(values).max()))
        most = REPEATED[stored.storage] * WIDTH[stored.storage]
        few = spread(values.size, LOOKED_AT)
        for group in self._groups(values.size):
            for which, order in group.alike.agreeing(stored.decoded, lambda at: room, group.slack):
                candidate = group.candidates[which]
                expected = candidate.values.transpose(order).reshape(-1)
                if all(
                    distance(values[part].astype(np.float64), expected[part].astype(np.float64))
                    <= limit
                    for part, limit in ((few, 4 * most), (slice(None), most))
                ):
                    return Match(FOLDED, candidate.of)
        return None


def _many_steps(stored: Stored) -> bool:
    """Whether numbers that are too small for all bits of float16 are enough steps to tell a weight.

    A layer scale of 1e-5, as blocks begin with, takes a weight that it is folded into there.
    """
    if stored.storage != "float16" or stored.values.size < MANY:
        return False
    return float(np.abs(stored.values).max()) >= STEPS * TINY_HALF


def _first(axis: int) -> tuple[slice, ...]:
    """The first two places of an axis."""
    return (*[slice(None)] * axis, slice(2))


def _rows(values: Array, axis: int) -> Array:
    """An array with an axis first, and all others as one."""
    return np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)


def _back(rows: Array, shape: tuple[int, ...], axis: int) -> Array:
    """What `_rows` was made of."""
    moved = [shape[axis], *(n for i, n in enumerate(shape) if i != axis)]
    return np.moveaxis(rows.reshape(moved), 0, axis)
