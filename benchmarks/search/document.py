"""What was found against what there is: kept as JSON, shown in `docs/search.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results" / "search.json"
DOCUMENT = REPOSITORY / "docs" / "search.md"
LARGER, BUILT = 1.1, 0.5
"""How much larger what is found may be than the best, and the part of the candidates to stay below."""

PART = re.compile(r"(<!-- searches: .*? -->\n).*?(<!-- end -->)", re.DOTALL)


def holds(row: Mapping[str, Any]) -> bool:
    """Whether a search found something small enough with few enough builds."""
    return bool(row["size_ratio"] <= LARGER and row["built_ratio"] < BUILT)


def document(text: str, record: Mapping[str, Any]) -> str:
    """The document with its table as the record is; all else stays."""
    return PART.sub(lambda found: found[1] + table(record) + found[2], text)


def table(record: Mapping[str, Any]) -> str:
    """One line a search."""
    lines = [
        "| deployable | found | bytes | built | the best of all | bytes | ratio |",
        "|---|---|---:|---:|---|---:|---:|",
    ]
    for row in record["searches"]:
        found, best = row["found"], row["best"]
        deployable = row["label"].partition("/")[2].rpartition("-")[0]
        lines.append(
            f"| `{deployable}` | {found['name']} | {found['bytes']:,} "
            f"| {row['built']} of {row['candidates']} "
            f"| {'the same' if found['name'] == best['name'] else best['name']} "
            f"| {best['bytes']:,} | {row['size_ratio']:.2f} |"
        )
    return "\n".join(lines) + "\n"
