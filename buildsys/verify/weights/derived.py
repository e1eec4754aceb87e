"""Constants that the model itself computes of its weights, before any input comes in.

They are tried where no weight explains a constant as it is: a weight is the simpler match, and its name
the one that people know.
"""

from __future__ import annotations

from dataclasses import replace

from buildsys.backends.kit.inspect.stored_weights import DERIVED, Stored, Weights
from buildsys.verify.weights.match import ALTERED, EXACT, FOLDED, UNEXPLAINED, Match
from buildsys.verify.weights.matcher import Matcher
from buildsys.verify.weights.numbers.axis_orders import is_vector


def apart(model: Weights) -> tuple[Weights, Weights | None]:
    """A model's own weights; and what it computes of them, with its vectors and norms, if it does.

    What is computed may have been folded with a norm in turn.
    """
    made = [tensor for tensor in model.tensors if tensor.derived]
    if not made:
        return model, None
    own = [tensor for tensor in model.tensors if not tensor.derived]
    vectors = [tensor for tensor in own if is_vector(tensor.values)]
    linear = frozenset[str]()
    return replace(model, tensors=own), Weights([*made, *vectors], model.norms, linear)


def better(stored: Stored, found: Match, other: Matcher) -> Match:
    """A match by what the model computes, where that by its weights alone is none or poor.

    Args:
        stored: The constant.
        found: What it is by the weights alone.
        other: Explains it by what is computed.
    """
    if found.sure and found.kind not in (ALTERED, UNEXPLAINED):
        return found
    made = other.match(stored)
    if made.kind == UNEXPLAINED or not any(name.startswith(DERIVED) for name in made.of):
        return found
    if made.kind == ALTERED:
        # Whichever leaves fewer numbers unexplained is the likelier.
        simpler = found.kind == ALTERED and found.count <= made.count
        return found if simpler or found.kind not in (ALTERED, UNEXPLAINED) else made
    # Nothing says which of the model's weights took the rounding of such a constant.
    return replace(made, kind=FOLDED) if made.kind != EXACT else made
