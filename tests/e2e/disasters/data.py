"""Sentences of one to six words, as a tokenizer gives them."""

from __future__ import annotations

import numpy as np


def sentences() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    lengths = generator.integers(1, 7, 16)
    mask = (np.arange(6)[None, :] < lengths[:, None]).astype(np.int64)
    return {"ids": generator.integers(1, 50, (16, 6)) * mask, "mask": mask}
