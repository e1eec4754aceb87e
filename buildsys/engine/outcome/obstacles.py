"""What lies in the way of artifacts, before anything is built."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from buildsys.planner.graph import Deployable
from buildsys.store import StoreError


def refuse_obstacles(folder: Path, deployables: Iterable[Deployable]) -> None:
    """Refuses what lies where a folder of artifacts has to be, before anything is built.

    Raises:
        StoreError: A file lies there.
    """
    targets = {deployable.target for deployable in deployables}
    for needed in (folder, *(folder / target for target in sorted(targets))):
        if os.path.lexists(needed) and not needed.is_dir():
            raise StoreError(
                f"{needed} is not a folder, and artifacts go there",
                "move it away, or build with `--out` into another folder",
            )
