"""What a deployable's inputs are not known of: reads of its model's code that nothing could watch."""

from __future__ import annotations

from collections.abc import Callable

from buildsys.planner.graph import ActionGraph, Deployable
from buildsys.store import Trace
from buildsys.toolchains.inside import reads

NOT_KNOWN = "inputs not fully known"
"""How it is said wherever a status is shown."""


def unseen(
    graph: ActionGraph, deployable: Deployable, trace: Callable[[str], Trace | None]
) -> tuple[str, ...]:
    """Says through what a deployable's inputs are not fully known; empty where they are.

    That is what read where nothing could see it, unless the recipe lists the files.

    Args:
        graph: Holds the deployable's actions.
        deployable: What is asked about.
        trace: Gives what an action left on record.
    """
    found: dict[str, None] = {}
    for name in deployable.actions:
        action = graph.actions[name]
        if not action.user_code or action.files is not None:
            continue
        known = trace(name)
        if known is not None:
            found |= dict.fromkeys(reads.unseen(known.manifest.get("discovered", ())))
    return tuple(sorted(found))


def described(found: tuple[str, ...] | list[str]) -> str:
    """Says what read unseen, and the way out."""
    what = ", ".join(found)
    return (
        f"{NOT_KNOWN}: nothing could see what its code reads through {what}; "
        "list those files in `source.files`, or an edit of them goes unnoticed"
    )
