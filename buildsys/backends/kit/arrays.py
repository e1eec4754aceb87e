"""Named arrays on disk, with equal bytes for equal arrays."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]

LABELS = "__labels__"
"""The reserved name of the labels in a dataset's `.npz`."""


def save(path: Path | IO[bytes], arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Writes an uncompressed `.npz`, a file or into one, with sorted names and fixed dates."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(
                buffer, np.ascontiguousarray(arrays[name]), allow_pickle=False
            )
            archive.writestr(
                zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue()
            )


def load(path: Path) -> Arrays:
    """Reads an `.npz`; arrays of Python objects are refused."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def grouped(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Arrays]:
    """Arrays named `GROUP/NAME`, by group."""
    found: dict[str, Arrays] = {}
    for key, array in arrays.items():
        group, _, name = key.partition("/")
        found.setdefault(group, {})[name] = array
    return found
