"""Pinned environments: made on first use, named by their lock, known by what is in them."""

from buildsys.toolchains.environments.fingerprint import Fingerprint
from buildsys.toolchains.errors import ToolchainError
from buildsys.toolchains.provisioner import Provisioner

__all__ = ["Fingerprint", "Provisioner", "ToolchainError"]
