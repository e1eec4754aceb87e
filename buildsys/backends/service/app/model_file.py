"""The model's file, read before anybody is served."""

from __future__ import annotations

import hashlib

from .settings import FOLDER, Interface, Unusable

FILE = FOLDER / "model" / "model.onnx"


def read(interface: Interface) -> bytes:
    """The file's bytes.

    Raises:
        Unusable: It is missing, unreadable, or not the one that this service was made with.
    """
    try:
        data = FILE.read_bytes()
    except OSError as error:
        raise Unusable(f"cannot read {FILE}: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    wanted = interface.model["sha256"]
    if found != wanted:
        raise Unusable(f"{FILE} has the sha256 {found}, io.json says {wanted}")
    return data
