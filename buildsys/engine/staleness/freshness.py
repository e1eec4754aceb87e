"""Whether what a step ran on is still what it would run on now.

A step's result is kept only under inputs that it really saw. Files of the user's may change while it
runs, and stored inputs may be made again meanwhile with other bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from buildsys.engine.executors import Done, Job
from buildsys.engine.staleness.keys import Manifest
from buildsys.engine.staleness.walk import Standing, Walk
from buildsys.planner.graph import Action, FileInput
from buildsys.store import Trace
from buildsys.toolchains.inside.program import MODULES


def edited_file(walk: Walk, action: Action, record: Manifest) -> str | None:
    """A file of the user's whose content is not what the key says; `None` where there is none."""
    for name, given in action.inputs.items():
        if isinstance(given, FileInput) and walk.memo.of(given.path) != record["inputs"][name]:
            return given.path.name
    now, then = walk.declared(action) or {}, record.get("files") or {}
    differ = sorted(n for n in now.keys() | then.keys() if now.get(n) != then.get(n))
    return differ[0] if differ else None


def changed_read(walk: Walk, project: Path, outcome: Done) -> str | None:
    """A file that the model's code read and that changed since; `None` where there is none."""
    for path, digest in outcome.discovered.items():
        if walk.discovered_digest(path) != digest:
            return path
        with contextlib.suppress(OSError):
            status = (project / path).stat()
            # Only the system sets the time of the last change; that of the content is anybody's.
            if status.st_ctime_ns > outcome.started_ns and not path.endswith(("/", MODULES)):
                return path
    return None


def is_current(job: Job, standings: Mapping[str, Standing]) -> bool:
    """Whether the stored inputs that a step ran on are what the actions above it gave."""
    for name, given in job.action.inputs.items():
        if not isinstance(given, FileInput):
            standing = standings.get(given.action)
            trace = standing.trace if standing else None
            if trace is None or trace.outputs[given.output].digest != job.spec.inputs[name][1]:
                return False
    return True


def same_outputs(one: Trace, other: Trace) -> bool:
    """Whether two runs of an action gave the same bytes."""
    return {n: o.digest for n, o in one.outputs.items()} == {
        n: o.digest for n, o in other.outputs.items()
    }
