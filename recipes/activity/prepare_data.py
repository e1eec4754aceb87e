"""Writes data/train.npz and data/val.npz from the BasicMotions files of the UEA archive.

Usage: `python prepare_data.py FOLDER`, where FOLDER holds BasicMotions_TRAIN.ts and
BasicMotions_TEST.ts; the wheels of aeon and sktime have them in `datasets/data/BasicMotions`.
Needs numpy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "data"
CLASSES = ("Badminton", "Running", "Standing", "Walking")


def read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Windows [n, 100, 6] and labels [n] of a `.ts` file.

    A line is `v,v,…:v,v,…:…:label`: six channels of 100 values each, then the class.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split(":") for line in lines[lines.index("@data") + 1 :] if line]
    x = np.array([[channel.split(",") for channel in row[:-1]] for row in rows], dtype=np.float64)
    y = np.array([CLASSES.index(row[-1]) for row in rows], dtype=np.int64)
    return x.transpose(0, 2, 1).astype(np.float32), y


def interleaved(y: NDArray[np.int64]) -> NDArray[np.intp]:
    """An order in which the classes take turns.

    The files are sorted by class, and recipes take their samples from the front.
    """
    turn = np.zeros(len(y), dtype=np.int64)
    for label in range(len(CLASSES)):
        rows = np.flatnonzero(y == label)
        turn[rows] = np.arange(len(rows))
    return np.lexsort((y, turn))


def main(source: Path) -> None:
    """Keeps the archive's own split: TRAIN becomes train, TEST becomes val."""
    FOLDER.mkdir(exist_ok=True)
    for split, name in (("TRAIN", "train"), ("TEST", "val")):
        x, y = read(source / f"BasicMotions_{split}.ts")
        order = interleaved(y)
        np.savez_compressed(FOLDER / f"{name}.npz", x=x[order], y=y[order])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
