"""Writes data/train.npz and data/val.npz from scikit-learn's handwritten digits.

Needs numpy and scikit-learn; no network, since scikit-learn ships the data.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

FOLDER = Path(__file__).parent / "data"
VALIDATION = 360
SEED = 0


def main() -> None:
    """Splits once, stratified by digit, with a fixed seed."""
    digits = load_digits()
    x = (digits.images / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    y = digits.target.astype(np.int64)
    x_train, x_val, y_train, y_val = train_test_split(
        x, y, test_size=VALIDATION, random_state=SEED, stratify=y
    )
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / "train.npz", x=x_train, y=y_train)
    np.savez_compressed(FOLDER / "val.npz", x=x_val, y=y_val)


if __name__ == "__main__":
    main()
