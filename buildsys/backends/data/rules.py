"""What the planner knows about data: a toolchain, and no format."""

from __future__ import annotations

from pathlib import Path

from buildsys.backends.base import Backend
from buildsys.backends.toolchain import Toolchain

FOLDER = Path(__file__).parent

backend = Backend(
    name="data",
    folder=FOLDER,
    toolchains=(
        Toolchain(
            name="data",
            lock=FOLDER / "lock.txt",
            requirements=FOLDER / "lock.in",
            about="numpy and Pillow: decodes images into arrays",
        ),
    ),
)
