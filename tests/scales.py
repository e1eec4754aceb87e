"""Quantized tensors with two scales or zero points in each other's place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from buildsys.backends.kit.inspect.stored_weights import Stored
from buildsys.verify.weights.numbers.scale_groups import Groups


def exchanged(stored: Stored, field: str, one: int, other: int) -> Stored:
    """A tensor with `scale` or `zero_point` of one group at the other's place."""
    groups = Groups.of(stored)
    made = np.broadcast_to(getattr(stored, field), stored.values.shape).copy().reshape(-1)
    places = [groups.labels == number for number in (one, other)]
    numbers = [made[place][0] for place in places]
    assert numbers[0] != numbers[1]
    made[places[0]], made[places[1]] = numbers[::-1]
    wide = made.reshape(stored.values.shape)
    return replace(stored, scale=wide) if field == "scale" else replace(stored, zero_point=wide)
