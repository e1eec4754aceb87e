"""The step that takes a finished artifact as it lies on the disk; a step of the coordinator."""

from __future__ import annotations

import shutil

from buildsys.backends.kit.protocol.request import Request

WORKER = "benchmarks.faults.adoption:adopt"


def adopt(request: Request) -> None:
    """Writes `artifact`, a copy of the input `file`: a file, or a folder with all that is in it."""
    source, target = request.inputs["file"], request.outputs["artifact"]
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
