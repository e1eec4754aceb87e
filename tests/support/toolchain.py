"""The real toolchains, for tests that are marked `toolchain`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from buildsys.backends.toolchain import Toolchain
from buildsys.engine.session import cache_root, toolchains_root
from buildsys.planner.catalog import Catalog
from buildsys.toolchains import Provisioner


@cache
def python(name: str) -> Path:
    """The interpreter of a toolchain, which is made where it is missing."""
    provisioner = Provisioner(toolchains_root(cache_root()), Catalog.load().toolchains)
    provisioner.ensure(name, print)
    return provisioner.python(name)


def python_of(requirements: Path) -> Path:
    """The interpreter of an environment of a requirements file, which is made where it is missing."""
    provisioner = Provisioner(toolchains_root(cache_root()), Catalog.load().toolchains)
    provisioner.ensure_requirements(requirements, print)
    return provisioner.python_requirements(requirements)


@cache
def of_tests(name: str, folder: Path) -> Path:
    """The interpreter of an environment of the tests' own, whose locks lie in a folder."""
    node = folder / "node"
    wanted = Toolchain(
        name, folder / "lock.txt", folder / "lock.in", node=node if node.exists() else None
    )
    provisioner = Provisioner(toolchains_root(cache_root()), {name: wanted})
    provisioner.ensure(name, print)
    return provisioner.python(name)
