"""Values of a recipe's variables as digests, keyed by random bytes of the store: they may be passwords."""

from __future__ import annotations

import os
from contextlib import suppress

from buildsys.cli.answer.question import FOLDER
from buildsys.validity import store_root

TYPE_CHECKING = False  # Not from `typing`, which takes longer to import than all that is done here.
if TYPE_CHECKING:
    from collections.abc import Iterable

KEY_FILE = "secret"
"""A file of the store with random bytes."""
SECRET_BYTES = 32


def digests(names: Iterable[str], key: bytes) -> dict[str, str | None]:
    """The values of variables as keyed digests, `None` where one is unset: they may be passwords."""
    import hmac  # Only for a recipe that has variables: the import takes longer than the comparison.

    found = {name: os.environ.get(name) for name in names}
    return {
        name: None
        if value is None
        else hmac.new(key, os.fsencode(f"{name}={value}"), "sha256").hexdigest()
        for name, value in found.items()
    }


def secret() -> bytes:
    """The store's own random bytes, read.

    Raises:
        OSError: There are none yet.
        ValueError: They are damaged.
    """
    with open(os.path.join(store_root(), KEY_FILE), "rb") as stream:
        found = stream.read()
    if len(found) != SECRET_BYTES:
        raise ValueError
    return found


def own_secret() -> bytes:
    """The store's own random bytes, made where there are none.

    Answers that were kept before there were any hold values as they are: they are removed.
    """
    with suppress(OSError, ValueError):
        return secret()
    path = os.path.join(store_root(), KEY_FILE)
    shelf = os.path.join(store_root(), FOLDER)
    with suppress(FileNotFoundError):
        for entry in os.scandir(shelf):
            os.unlink(entry.path)
    temporary = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(os.urandom(SECRET_BYTES))
    os.replace(temporary, path)
    return secret()  # Of two that made one at once, the later has it.
