"""Named arrays on disk, with equal bytes for equal arrays."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]

LABELS = "__labels__"
"""The reserved name of the labels in a dataset's `.npz`; of several, the group that they are in."""
LENGTHS = 26
"""Where a member's header in a zip file says how long its name is."""
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def save(path: Path | IO[bytes], arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Writes an uncompressed `.npz`, a file or into one, with sorted names and fixed dates."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            buffer = io.BytesIO()
            np.lib.format.write_array(
                buffer, np.asarray(arrays[name], order="C"), allow_pickle=False
            )
            archive.writestr(
                zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue()
            )


def load(path: Path) -> Arrays:
    """Reads an `.npz`; arrays of Python objects are refused."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def mapped(path: Path) -> Arrays:
    """Opens what `save` wrote without reading it: of a large dataset only what is used is read.

    The arrays cannot be written to.

    Raises:
        ValueError: An array holds Python objects.
    """
    found: Arrays = {}
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            return load(path)
        for member in members:
            # The local header's own lengths count: those of the directory may differ.
            file.seek(member.header_offset + LENGTHS)
            name, extra = struct.unpack("<HH", file.read(4))
            file.seek(name + extra, 1)
            header = HEADERS[np.lib.format.read_magic(file)]
            shape, by_columns, dtype = header(file)
            if dtype.hasobject:
                raise ValueError(f"{member.filename} holds Python objects")
            array = np.empty(shape, dtype)
            if array.size:
                order: Literal["C", "F"] = "F" if by_columns else "C"
                at = file.tell()
                array = np.asarray(np.memmap(path, dtype, "r", at, shape, order))
            found[member.filename.removesuffix(".npy")] = array
    return found


def labels_of(dataset: Arrays) -> NDArray[np.generic] | Arrays | None:
    """The labels of a dataset: an array, several by name, or `None` where it has none."""
    one = dataset.get(LABELS)
    return one if one is not None else grouped(dataset).get(LABELS)


def with_labels(dataset: Arrays, labels: NDArray[np.generic] | Arrays) -> Arrays:
    """A dataset and its labels as one."""
    if isinstance(labels, dict):
        return dataset | {f"{LABELS}/{name}": array for name, array in labels.items()}
    return dataset | {LABELS: labels}


def is_labels(name: str) -> bool:
    """Whether an array of a dataset holds labels."""
    return name == LABELS or name.startswith(LABELS + "/")


def grouped(arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, Arrays]:
    """Arrays named `GROUP/NAME`, by group."""
    found: dict[str, Arrays] = {}
    for key, array in arrays.items():
        group, _, name = key.partition("/")
        found.setdefault(group, {})[name] = array
    return found
