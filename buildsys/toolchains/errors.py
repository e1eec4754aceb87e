"""What is said when an environment cannot be made."""

from __future__ import annotations

from pathlib import Path


class ToolchainError(Exception):
    """An environment cannot be made or read, for a reason outside of this program.

    Attributes:
        toolchain: Which one; for a model's own environment, its requirements file.
        message: What is wrong, with the installer's last lines where it was the installer.
        hint: The way out, as an imperative.
        log: Everything that the installer said.
    """

    def __init__(
        self, toolchain: str, message: str, hint: str | None = None, log: Path | None = None
    ) -> None:
        super().__init__(message)
        self.toolchain = toolchain
        self.message = message
        self.hint = hint
        self.log = log


UNREACHABLE = (
    "error sending request",
    "dns error",
    "failed to lookup address",
    "connection refused",
    "could not connect",
    "connection reset",
    "network is unreachable",
    "newconnectionerror",
    "connecttimeouterror",
    "max retries exceeded",
    "connection timed out",
    "operation timed out",
    "temporary failure in name resolution",
    "tls handshake",
    "certificate verify failed",
    "invalid peer certificate",
)
FULL = ("no space left on device", "os error 28", "disk quota exceeded", "os error 122")
ALTERED = ("hash mismatch", "do not match the hashes")
ABSENT = (
    "no solution found",
    "no matching distribution",
    "could not find a version",
    "not found in the package registry",
)
# All that pip says of an index that it could not reach, where it must not try again.
NOTHING = "(from versions: none)"
TAIL = 8


def explain(said: str) -> tuple[str, str | None]:
    """What an installer's output comes down to: a sentence with its last lines, and a hint."""
    lowered = said.lower()
    message, hint = "the installer failed", None
    if any(sign in lowered for sign in FULL):
        message = "the disk is full"
        hint = "free some space, or set MODELBUILD_CACHE and UV_CACHE_DIR to a disk that has more"
    elif any(sign in lowered for sign in ALTERED):
        message = "a package is not the one that the lock file pins"
        hint = "check which index serves it (`pip config list`): its files differ from the lock's"
    elif any(sign in lowered for sign in UNREACHABLE):
        message = "the package index cannot be reached"
        hint = (
            "check the network, and pip's `index-url`, `proxy` and `cert` settings "
            "(`pip config list`)"
        )
    elif NOTHING in lowered:
        message = "the package index cannot be reached, or has nothing of a pinned package"
        hint = "check the network and pip's settings (`pip config list`)"
    elif any(sign in lowered for sign in ABSENT):
        message = "the package index has no file of a pinned package for this machine"
        hint = "check that the index is complete (`pip config list`), or pin other versions"
    return "\n".join([message, *last_lines(said)]), hint


def last_lines(said: str) -> list[str]:
    """The last lines of an installer's output, indented."""
    # pip tells of each attempt, in a line longer than all the rest.
    lines = (line.rstrip() for line in said.splitlines())
    last = [line for line in lines if line and not line.startswith("WARNING: Retrying")][-TAIL:]
    return [f"  {line}" for line in last]
