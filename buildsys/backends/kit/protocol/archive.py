"""Tells torch's two kinds of file apart by what is in them, never by their names."""

from __future__ import annotations

import zipfile
from pathlib import Path

from .request import StepError

LFS_POINTER = b"version https://git-lfs"


def kind_of(path: Path) -> str:
    """`torchscript` or `exported`.

    Raises:
        StepError: It is neither.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise StepError(f"not a TorchScript or ExportedProgram file: {broken(path)}") from error
    if "archive_format" in names or "serialized_exported_program.json" in archive.namelist():
        return "exported"
    if "constants.pkl" in names:
        return "torchscript"
    raise StepError(
        "the file is neither TorchScript nor an ExportedProgram",
        "weights alone go under `checkpoint`, with a `factory` that makes the module",
    )


def broken(path: Path) -> str:
    """What a file that does not open looks like, in words."""
    if path.stat().st_size == 0:
        return "it is empty"
    with path.open("rb") as stream:
        if stream.read(len(LFS_POINTER)) == LFS_POINTER:
            return "it is a Git LFS pointer, not the file itself (run `git lfs pull`)"
    return "it is damaged or of another kind"
