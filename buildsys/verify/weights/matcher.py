"""Explains one constant of an artifact after another by a model's weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from buildsys.backends.kit.inspect.stored_weights import Stored, Weights
from buildsys.verify.weights.budget import Budget
from buildsys.verify.weights.elementwise import Comparison
from buildsys.verify.weights.folding import formulas
from buildsys.verify.weights.lookup import Lookup
from buildsys.verify.weights.match import (
    ALTERED,
    FOLDED,
    QUANTIZED,
    REARRANGED,
    UNEXPLAINED,
    Match,
)
from buildsys.verify.weights.numbers.agreement import FLOATS
from buildsys.verify.weights.numbers.axis_orders import is_vector
from buildsys.verify.weights.numbers.fingerprints import Fingerprints
from buildsys.verify.weights.scales import Scales


class Matcher:
    """Knows a model's weights, and finds them again.

    What is looked up by digest is tried first, so that only what is not found so is compared, and
    only with weights of the same number of elements.

    Args:
        model: The model's weights.
        corrected: Whether biases may have been moved a little on purpose, as a quantizer does to make
            up for the errors of weights.
        floats: The weights of the artifact that a quantized one was made of, where there is one.
        budget: How much work all of the search may take.
        prints: Digests of constants, which another one may have asked for before.
    """

    def __init__(
        self,
        model: Weights,
        *,
        corrected: bool = False,
        floats: Weights | None = None,
        budget: Budget | None = None,
        prints: Fingerprints | None = None,
    ) -> None:
        self._budget = budget or Budget()
        weights = {tensor.name: tensor.decoded for tensor in model.tensors}
        sums = dict(formulas.sums(weights))
        self._lookup = Lookup(model, weights | sums, prints)
        self._comparison = Comparison(model, weights, sums, self._budget)
        self._corrected = corrected
        self._scales = Scales(weights, exact=False)
        # By numbers: formats may have two constants of one name.
        tensors = () if floats is None else floats.tensors
        self._floats = {str(number): each for number, each in enumerate(tensors)}
        self._exact_scales = Scales(
            {name: each.decoded for name, each in self._floats.items()}, exact=True
        )

    def match(self, stored: Stored) -> Match:
        """Finds what a constant is."""
        found = self._found(stored)
        return found if stored.scale is None else self._with_scales(stored, found)

    def _with_scales(self, stored: Stored, found: Match) -> Match:
        """The same, but where scales are not those of its integers."""
        if found.sure and found.kind == FOLDED:
            return found  # By a norm, which a quantizer may have folded itself.
        settled = found.sure and found.kind == QUANTIZED
        scales = self._exact_scales
        wrong = scales.exchanged(stored) if settled else scales.changed(stored)
        if wrong is not None:
            made_of = self._floats[wrong.of[0]]
            return replace(wrong, of=self._found(made_of).of or found.of or (made_of.name,))
        return found if settled else self._scales.changed(stored) or found

    def _found(self, stored: Stored) -> Match:
        if stored.storage in FLOATS:
            found = self._lookup.found(stored)
            if found is not None and not self._by_chance(found, stored):
                return found
        if self._budget.refuses():
            return Match(UNEXPLAINED)
        nearly = self._comparison.nearly(stored)
        if nearly is not None and nearly.kind != ALTERED:
            return nearly
        # A norm that changes little leaves most rounded numbers as they were: what fits better counts.
        scaled = self._comparison.scaled(stored, by_norms=True)
        near = [found for found in (nearly, scaled) if found is not None]
        if near:
            return min(near, key=lambda found: found.count)
        return (
            self._comparison.scaled(stored, by_norms=False)
            or self._lookup.nearly(stored)
            or self._comparison.affine(stored)
            or self._close(stored)
            or self._comparison.nothing(stored)
            or Match(UNEXPLAINED)
        )

    def _by_chance(self, found: Match, stored: Stored) -> bool:
        """Whether a vector is a weight but for numbers that happen to be in another one.

        Vectors are looked up by their elements, and in float16 many a number is in several of them.
        """
        if found.kind != REARRANGED or not is_vector(stored.values):
            return False
        nearly = self._comparison.nearly(stored)
        return nearly is not None and nearly.kind == ALTERED

    def _close(self, stored: Stored) -> Match | None:
        return (
            None if is_vector(stored.values) and self._corrected else self._comparison.close(stored)
        )

    def match_again(self, stored: Stored, beside: Collection[str] = ()) -> Match:
        """Finds what a constant is by what has been found of the others meanwhile.

        Args:
            stored: The constant.
            beside: The weights that its operations use besides.
        """
        if self._budget.left <= 0:
            return Match(UNEXPLAINED)
        return self._comparison.shifted(stored, beside) or Match(UNEXPLAINED)
