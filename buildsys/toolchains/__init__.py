"""Pinned environments: made on first use, named by their lock, known by what is in them."""

from buildsys.toolchains.errors import ToolchainError
from buildsys.toolchains.fingerprint import Fingerprint
from buildsys.toolchains.locking import lock
from buildsys.toolchains.provisioner import Provisioner

__all__ = ["Fingerprint", "Provisioner", "ToolchainError", "lock"]
